#!/usr/bin/perl

# What more workers of nginx cost the batches.
#
# The same open loop, spread over all of them, on 1, 2, 4 and 8 workers, with
# queues shared between them and with a queue in each.
#
#   ./run bench workers [--repeats N] [--seconds S] [--rate R] [--workers 1,2]
#                       [--delay MS] [--row-delay US] [--no-reuseport]
#
# The model is an echo that serves one request at a time in T(n) = a + b * n,
# asleep.  For information also a closed loop of 64 clients on an echo that
# takes no time, where one worker is busy all the time.  Configurations take
# turns; medians go to stdout, all runs to build/bench/workers.json.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Getopt::Long;
use List::Util qw(max sum0);
use Mark::Bench qw(load_share median rows_a_batch slurp table write_json);
use Time::HiRes qw(sleep);

my ($repeats, $seconds, $rate, $delay, $row_delay) = (5, 4, 1000, 4, 250);
my ($workers, $reuseport) = ('1,2,4,8', 1);

GetOptions('repeats=i' => \$repeats, 'seconds=f' => \$seconds,
           'rate=f' => \$rate, 'workers=s' => \$workers,
           'delay=f' => \$delay, 'row-delay=f' => \$row_delay,
           'reuseport!' => \$reuseport) && !@ARGV
    or die "usage: workers.pl [--repeats N] [--seconds S] [--rate R]\n"
           . "                  [--workers N,...] [--delay MS] "
           . "[--row-delay US] [--no-reuseport]\n";

# ratios to one worker, with shared queues

my %wanted = (
    rows_a_batch => [ '>=', 0.95 ], nginx_us => [ '<=', 1.25 ],
    p99_ms => [ '<=', 1.10 ],
);

use constant SHARE => 0.6;          # of the machine, see overload.pl

my @metrics = qw(rows_a_batch nginx_us p50_ms p99_ms);
my @loads = (
    { name => 'open', text => sprintf('%g requests/s', $rate),
      options => [ '--rate', $rate, '--connections', 256, '--spread' ] },
    { name => 'closed', text => '64 clients',
      options => [ '--concurrency', 64 ] },
);

my $top = $Mark::Bench::top;
my @configurations = configurations(split /,/, $workers);

my ($wrong, $busiest) = (0, 0);
my %runs;

# all must have been busy once before anything counts

run($_, $loads[0], 0.5) for @configurations;

for my $n (1 .. $repeats) {
    for my $load (@loads) {
        for my $c ($n % 2 ? @configurations : reverse @configurations) {
            my $run = run($c, $load, $seconds);
            push @{$runs{$load->{name}}{$c->{name}}}, $run;

            printf STDERR "  %d/%d  %-6s  %-9s  %5.2f rows  %6.1f us  "
                . "p99 %7.3f ms\n", $n, $repeats, $load->{name}, $c->{name},
                @$run{qw(rows_a_batch nginx_us p99_ms)};
        }
    }
}

report();
exit($wrong ? 1 : 0);


# An nginx for each: a batch directory, a port and workers of its own.  All
# use the same two servers, one after the other.

sub configurations {
    my @counts = @_;

    my $servers = Mark::Bench->new;
    my $slow = $servers->port('slow');
    my $fast = $servers->port('fast');

    $servers->server($slow, '--model', 'echo', '--echo-delay', $delay,
                     '--echo-row-delay', $row_delay);
    $servers->server($fast, '--model', 'echo');

    my $listen = $reuseport ? 'reuseport' : '';
    my @configurations;

    for my $count (@counts) {
        for my $share ($count == 1 ? 'off' : qw(off on)) {
            my $bench = Mark::Bench->new;

            $bench->nginx(<<EOC, workers => $count);
    log_format worker '\$pid';
    mark_share $share;
    upstream slow { server 127.0.0.1:$slow; keepalive 16; }
    upstream fast { server 127.0.0.1:$fast; keepalive 64; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {
        listen 127.0.0.1:%%PORT_nginx%% $listen;
        access_log $bench->{dir}/workers.log worker buffer=64k flush=100ms;

        location /open/ { mark_batch v1; proxy_pass http://slow/; }
        location /closed/ { mark_batch v1; proxy_pass http://fast/; }
        location = /mark_status { access_log off; mark_status; }
    }
EOC

            push @configurations, {
                name => $count == 1 ? '1' : "$count $share",
                count => $count, share => $share, bench => $bench,
                workers => [ $bench->workers ], servers => $servers,
            };
        }
    }

    return @configurations;
}


sub run {
    my ($c, $load, $time) = @_;

    my $bench = $c->{bench};
    my $port = $bench->port('nginx');
    my $way = $load->{name};

    my $before = $bench->counters($port, "/$way/");
    my $logged = -s "$bench->{dir}/workers.log" || 0;

    my $r = $bench->load([
        @{$load->{options}}, '--duration', $time, '--timeout', 10,
        '--body', '{"instances": [[%u, 2.0, 5.0]]}',
        '--expect', '{"predictions": [[%u, 2.0, 5.0]]}',
        "http://127.0.0.1:$port/$way/v1/models/echo:predict",
    ], nginx => $c->{workers}, server => $c->{servers}{children});

    my $after = $bench->counters($port, "/$way/");

    $wrong++, print STDERR $r->{said} if $r->{rc} != 0;

    if ($way eq 'open') {
        my $share = load_share($r);
        $busiest = $share if $share > $busiest;
    }

    my $n = $r->{completed} || 1;

    return {
        rate => $r->{throughput},
        rows_a_batch => rows_a_batch($before, $after),
        nginx_us => 1e6 * $r->{cpu}{nginx} / $n,
        p50_ms => $r->{latency}{p50}, p99_ms => $r->{latency}{p99},
        requests => requests($c, $logged),
    };
}


# How many of the requests each worker had, the busiest first.

sub requests {
    my ($c, $from) = @_;

    # until the buffers of the log have been flushed

    sleep 0.3;

    my %had = map { $_ => 0 } @{$c->{workers}};

    $had{$_}++ for split /\n/,
        substr slurp("$c->{bench}{dir}/workers.log"), $from;

    return [ sort { $b <=> $a } values %had ];
}


sub report {
    my %out;

    for my $load (@loads) {
        my $runs = $runs{$load->{name}};
        my ($one) = grep { $_->{count} == 1 } @configurations;
        my @rows = ([ 'workers', 'share', 'req/s', 'rows a batch',
                      'nginx us/req', 'p50 ms', 'p99 ms', 'busiest worker',
                      'rows', 'CPU', 'p50', 'p99' ]);
        my %o;

        for my $c (@configurations) {
            my @r = @{$runs->{$c->{name}}};
            my %m = map { my $k = $_; $k => median(map { $_->{$k} } @r) }
                'rate', @metrics;

            $m{busiest} = median(map {
                max(@{$_->{requests}}) / (sum0(@{$_->{requests}}) || 1)
            } @r);

            # of each turn: what disturbed it disturbed all

            my %ratio = $one ? map {
                my $k = $_;
                $k => median(map {
                    my $base = $runs->{$one->{name}}[$_]{$k};
                    $base ? $r[$_]{$k} / $base : ();
                } 0 .. $#r)
            } @metrics : ();

            push @rows, [ $c->{count}, $c->{count} == 1 ? '' : $c->{share},
                map({ sprintf $_->[0], $m{$_->[1]} } [ '%.0f', 'rate' ],
                    [ '%.2f', 'rows_a_batch' ], [ '%.1f', 'nginx_us' ],
                    [ '%.3f', 'p50_ms' ], [ '%.3f', 'p99_ms' ]),
                sprintf('%.0f %%', 100 * $m{busiest}),
                map({ defined $ratio{$_} ? sprintf '%.2f', $ratio{$_} : '' }
                    @metrics) ];

            $o{$c->{name}} = { runs => \@r, median => \%m, ratio => \%ratio,
                               workers => $c->{count}, share => $c->{share} };
        }

        print "\n", ucfirst $load->{name}, " loop, $load->{text}",
            $load->{name} eq 'open'
                ? sprintf(', T(n) = %g ms + %g ms a row', $delay,
                          $row_delay / 1000)
                : ', an echo without delay, for information',
            "; medians of $repeats turns of $seconds s,\nand of the ratios to "
            . "one worker\n\n";
        table(@rows);

        $out{$load->{name}} = \%o;
    }

    print "\n";
    judge($out{open});

    printf "  open loop: nginx, backend and load took up to %.0f %% of the "
        . "machine%s\n", 100 * $busiest,
        $busiest > SHARE ? ', TOO MUCH to trust this' : '';

    write_json("$top/build/bench/workers.json", {
        repeats => $repeats, seconds => $seconds, rate => $rate,
        delay_ms => $delay, row_delay_us => $row_delay,
        reuseport => $reuseport, loads => \%out, wanted => \%wanted,
        machine => $busiest,
    });
}


# the worst of the shared ones against what is wanted

sub judge {
    my ($open) = @_;

    my @shared = grep { $_->{share} eq 'on' } values %$open;

    for my $k (sort keys %wanted) {
        my ($sign, $limit) = @{$wanted{$k}};
        my @ratios = sort { $a <=> $b }
            map { defined $_->{ratio}{$k} ? $_->{ratio}{$k} : () } @shared;

        next unless @ratios;

        my $worst = $sign eq '>=' ? $ratios[0] : $ratios[-1];

        printf "  shared, %-12s  %.2f times that of one worker at worst "
            . "(wanted: %s %.2f)\n", $k, $worst, $sign, $limit;
    }
}
