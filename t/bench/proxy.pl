#!/usr/bin/perl

# What batching costs and saves nginx itself.
#
# Requests/s, latency, and CPU microseconds a request of the worker against a
# backend that does next to nothing, for plain proxy_pass with keepalive and
# for a batched location of the same nginx, at several numbers of concurrent
# clients.  A repeat is made of short slices in turns, so that a machine that
# drifts does so for both.
#
#   ./run bench proxy [--repeats N] [--seconds S] [--concurrency 1,8,64,256]
#
# Medians go to stdout, all runs to build/bench/proxy.json.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Getopt::Long;
use Mark::Bench qw(median table write_json);

my ($repeats, $seconds, $concurrency) = (5, 3, '1,8,64,256');
my $slices = 6;

GetOptions('repeats=i' => \$repeats, 'seconds=f' => \$seconds,
           'concurrency=s' => \$concurrency) && !@ARGV
    or die "usage: proxy.pl [--repeats N] [--seconds S] "
           . "[--concurrency N,...]\n";

my $bench = Mark::Bench->new;

my $server = $bench->server($bench->port('echo'), '--model', 'echo');

my $worker = $bench->nginx(<<'EOC');
    upstream echo { server 127.0.0.1:%%PORT_echo%%; keepalive 256; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {
        listen 127.0.0.1:%%PORT_nginx%%;
        location /plain/ { proxy_pass http://echo/; }
        location /batched/ { mark_batch v1; proxy_pass http://echo/; }
        location = /mark_status { mark_status; }
    }
EOC

my $port = $bench->port('nginx');
my %runs;
my $wrong = 0;

my %uri = map { $_ => "http://127.0.0.1:$port/$_/v1/models/echo:predict" }
    qw(plain batched);

# nginx and the backend must have been busy once before anything counts

slice($_, 8, 0.5) for qw(plain batched);

for my $c (split /,/, $concurrency) {
    for my $n (1 .. $repeats) {
        my %slices;

        for my $i (1 .. $slices) {
            for my $way ($i % 2 ? qw(plain batched) : qw(batched plain)) {
                push @{$slices{$way}}, slice($way, $c, $seconds / $slices);
            }
        }

        for my $way (qw(plain batched)) {
            my $run = whole(@{$slices{$way}});
            push @{$runs{$c}{$way}}, $run;

            printf STDERR "  c=%-4d %-8s %8.0f req/s  p50 %7.3f ms  "
                . "p99 %7.3f ms  nginx %6.2f us/req\n",
                $c, $way, @$run{qw(rate p50_ms p99_ms nginx_us)};
        }
    }
}

report();
exit($wrong ? 1 : 0);


sub slice {
    my ($way, $c, $time) = @_;

    my $before = $bench->counters($port);

    my $r = $bench->load([
        '--concurrency', $c, '--duration', $time, '--timeout', 10,
        '--body', '{"instances": [[%u, 2.0, 5.0]]}',
        '--expect', '{"predictions": [[%u, 2.0, 5.0]]}',
        $uri{$way},
    ], nginx => [ $worker ], server => [ $server ]);

    my $after = $bench->counters($port);

    $wrong++, print STDERR $r->{said} if $r->{rc} != 0;

    return {
        requests => $r->{completed}, seconds => $r->{duration} || $time,
        p50_ms => $r->{latency}{p50}, p99_ms => $r->{latency}{p99},
        nginx => $r->{cpu}{nginx}, server => $r->{cpu}{server},
        map { $_ => $after->{$_} - $before->{$_} } qw(rows batches),
    };
}


sub whole {
    my (@slices) = @_;

    my %sum;

    for my $s (@slices) {
        $sum{$_} += $s->{$_}
            for qw(requests seconds nginx server rows batches);
    }

    my $n = $sum{requests} || 1;

    return {
        requests => $sum{requests}, rate => $sum{requests} / $sum{seconds},
        p50_ms => median(map { $_->{p50_ms} } @slices),
        p99_ms => median(map { $_->{p99_ms} } @slices),
        nginx_us => 1e6 * $sum{nginx} / $n,
        server_us => 1e6 * $sum{server} / $n,
        rows_a_batch => $sum{batches} ? $sum{rows} / $sum{batches} : 1,
    };
}


sub report {
    my @rows = ([ 'clients', 'way', 'req/s', 'p50 ms', 'p99 ms',
                  'nginx us/req', 'server us/req', 'rows a batch' ]);
    my %out;

    for my $c (sort { $a <=> $b } keys %runs) {
        my %m;

        for my $way (qw(plain batched)) {
            my @r = @{$runs{$c}{$way}};
            $m{$way} = { map { my $k = $_;
                               $k => median(map { $_->{$k} } @r) }
                         keys %{$r[0]} };

            push @rows, [ $c, $way,
                map { sprintf $_->[0], $m{$way}{$_->[1]} }
                [ '%.0f', 'rate' ], [ '%.3f', 'p50_ms' ],
                [ '%.3f', 'p99_ms' ], [ '%.2f', 'nginx_us' ],
                [ '%.2f', 'server_us' ], [ '%.1f', 'rows_a_batch' ] ];
        }

        # of each repeat: what disturbed it disturbed both

        my %ratio = map {
            my $k = $_;
            $k => median(map {
                my ($p, $q) = map { $_->{$k} } $runs{$c}{plain}[$_],
                                               $runs{$c}{batched}[$_];
                $p ? $q / $p : ();
            } 0 .. $repeats - 1);
        } qw(rate p50_ms p99_ms nginx_us server_us);

        push @rows, [ $c, 'ratio', map { sprintf '%.2f', $ratio{$_} || 0 }
            qw(rate p50_ms p99_ms nginx_us server_us) ];
        $rows[-1][7] = '';

        $out{$c} = { runs => $runs{$c}, median => \%m, ratio => \%ratio };
    }

    print "\nMedians of $repeats repeats of $seconds s each; ratio is the "
        . "median of batched to plain.\n\n";
    table(@rows);

    write_json("$Mark::Bench::top/build/bench/proxy.json", {
        repeats => $repeats, seconds => $seconds, clients => \%out,
    });
}
