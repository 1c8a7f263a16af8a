#!/usr/bin/perl

# What is left of the goodput when more is offered than can be served.
#
# An open loop at multiples of the capacity on plain proxy_pass, on a batched
# location that delays what comes too late, and on one that rejects it.
#
#   ./run bench overload [--repeats N] [--seconds S] [--slo MS]
#                        [--delay MS] [--row-delay US] [--loads 0.25,0.5,...]
#
# The model is an echo that serves one request at a time in T(n) = a + b * n,
# asleep: what is measured is waiting, not how fast this machine computes.
# Medians go to stdout, all runs to build/bench/overload.json, the curves to
# build/bench/overload.svg.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Getopt::Long;
use Mark::Bench qw(load_share median rows_a_batch table write_json);
use Mark::Plot qw(plot);

my ($repeats, $seconds, $slo, $delay, $row_delay) = (3, 4, 100, 8, 500);
my $loads = '0.05,0.1,0.25,0.5,0.75,1,1.25,1.5,2,3';

GetOptions('repeats=i' => \$repeats, 'seconds=f' => \$seconds,
           'slo=i' => \$slo, 'delay=f' => \$delay,
           'row-delay=f' => \$row_delay, 'loads=s' => \$loads) && !@ARGV
    or die "usage: overload.pl [--repeats N] [--seconds S] [--slo MS] "
           . "[--delay MS]\n                   [--row-delay US] "
           . "[--loads X,...]\n";

# the goodput at this load, as a share of the best at any

use constant { OVERLOAD => 2, WANTED => 0.9 };

# of the machine: with less the load generator and nginx are in time

use constant SHARE => 0.6;

my @ways = qw(plain delay reject);
my %names = (plain => 'plain proxy_pass', delay => 'batched, delay',
             reject => 'batched, reject');

my @loads = split /,/, $loads;
my $top = $Mark::Bench::top;
my $bench = Mark::Bench->new;

# each has a server of its own, so that none meets what another has left

my %servers = map {
    $_ => $bench->server($bench->port($_), '--model', 'echo',
                         '--echo-delay', $delay,
                         '--echo-row-delay', $row_delay)
} @ways;

my $worker = $bench->nginx(<<EOC);
    upstream plain { server 127.0.0.1:%%PORT_plain%%; keepalive 256; }
    upstream delay { server 127.0.0.1:%%PORT_delay%%; keepalive 16; }
    upstream reject {
        mark_max_concurrent_batches 1;
        server 127.0.0.1:%%PORT_reject%%;
        keepalive 16;
    }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {
        listen 127.0.0.1:%%PORT_nginx%% backlog=4096;

        location /plain/ { proxy_pass http://plain/; }

        location /delay/ {
            mark_batch v1;
            mark_slo ${slo}ms;
            mark_timeout_action delay;
            proxy_pass http://delay/;
        }

        location /reject/ {
            mark_batch v1;
            mark_slo ${slo}ms;
            mark_timeout_action reject;
            proxy_pass http://reject/;
        }

        location /capacity/ {
            mark_batch v1;
            proxy_pass http://reject/;
        }

        location = /mark_status { mark_status; }
    }
EOC

my $port = $bench->port('nginx');
my @request = ('--body', '{"instances": [[%u, 2.0, 5.0]]}',
               '--expect', '{"predictions": [[%u, 2.0, 5.0]]}');
my $wrong = 0;
my $busiest = 0;
my %runs;

my $capacity = capacity();

printf STDERR "  capacity %.0f requests/s\n", $capacity;

for my $n (1 .. $repeats) {
    for my $load (@loads) {
        for my $way (@ways) {
            my $run = point($way, $load, $n);
            push @{$runs{$way}{$load}}, $run;

            printf STDERR "  %d/%d  %4.2f  %-6s  goodput %7.1f of %7.1f  "
                . "p99 %7.1f ms\n", $n, $repeats, $load, $way,
                @$run{qw(goodput offered p99_ms)};
        }
    }
}

report();
exit($wrong ? 1 : 0);


sub uri { "http://127.0.0.1:$port/$_[0]/v1/models/echo:predict" }


# What full batches make of it: a closed loop of more clients than fit, in a
# location of its own, as what is learned there is of another load.

sub capacity {
    return $bench->load([ '--concurrency', 96, '--duration', 4,
                          '--warmup', 1, @request, uri('capacity') ])
                 ->{throughput};
}


sub point {
    my ($way, $load, $seed) = @_;

    # what was given up before is still being served

    $bench->settle($slo, @request, uri($way));

    my $before = $way eq 'plain' ? undef : $bench->counters($port, "/$way/");

    my $r = $bench->load([
        '--rate', $load * $capacity, '--duration', $seconds + 1,
        '--warmup', 1, '--seed', $seed, '--connections', 512,
        '--timeout', 2, '--slo', $slo, '--expect-status', '200,503',
        @request, uri($way),
    ], nginx => [ $worker ], server => [ $servers{$way} ]);

    my $after = $before && $bench->counters($port, "/$way/");

    $wrong++, print STDERR $r->{said} if $r->{wrong};

    my $share = load_share($r);
    $busiest = $share if $share > $busiest;

    my $time = $r->{offered}{seconds} || 1;

    return {
        offered => $r->{offered}{rate},
        served => ($r->{status}{200} || 0) / $time,
        goodput => $r->{goodput},
        rejected => ($r->{status}{503} || 0) / $time,
        p50_ms => $r->{latency}{p50}, p99_ms => $r->{latency}{p99},
        rows_a_batch => $before ? rows_a_batch($before, $after) : 1,
        timeouts => $r->{errors}{timeout}, machine => $share,
    };
}


sub report {
    my @rows = ([ 'load', 'way', 'offered/s', 'served/s', 'goodput/s',
                  '503/s', 'p50 ms', 'p99 ms', 'rows a batch' ]);
    my (%m, %out);

    for my $load (@loads) {
        for my $way (@ways) {
            my @r = @{$runs{$way}{$load}};
            my $m = $m{$way}{$load} = {
                map { my $k = $_; $k => median(map { $_->{$k} } @r) }
                keys %{$r[0]}
            };

            push @rows, [ sprintf('%.2f', $load), $way,
                map({ sprintf '%.0f', $m->{$_} }
                    qw(offered served goodput rejected)),
                map({ sprintf '%.1f', $m->{$_} }
                    qw(p50_ms p99_ms rows_a_batch)) ];
        }
    }

    printf "\nT(n) = %g ms + %g ms a row, one at a time; SLO %d ms; capacity "
        . "%.0f requests/s.\nMedians of %d repeats of %g s; p50 and p99 are "
        . "of what was answered 200.\n\n", $delay, $row_delay / 1000, $slo,
        $capacity, $repeats, $seconds;
    table(@rows);

    print "\n";

    for my $way (@ways) {
        my ($best) = sort { $b <=> $a }
            map { $_->{goodput} } values %{$m{$way}};
        my $over = $m{$way}{+OVERLOAD};
        my $kept = $over && $best ? $over->{goodput} / $best : undef;

        $out{$way} = { runs => $runs{$way}, median => $m{$way},
                       best_goodput => $best, kept => $kept };

        printf "  %-18s goodput at %g times the capacity: %.2f of its best, "
            . "%.2f of the best of all\n", $names{$way}, OVERLOAD, $kept,
            $over->{goodput} / best(\%m) if defined $kept;
    }

    printf "  (wanted of %s: at least %.1f)\n", $names{reject}, WANTED;
    printf "  nginx, backend and load took up to %.0f %% of the machine%s\n",
        100 * $busiest, $busiest > SHARE ? ', TOO MUCH to trust this' : '';

    write_json("$top/build/bench/overload.json", {
        repeats => $repeats, seconds => $seconds, slo_ms => $slo,
        capacity => $capacity, delay_ms => $delay, row_delay_us => $row_delay,
        loads => \@loads, ways => \%out, machine => $busiest,
        wanted => { at => OVERLOAD, kept => WANTED },
    });

    curves(\%m);
}


# the best goodput of any way at any load

sub best {
    my ($m) = @_;

    my ($best) = sort { $b <=> $a }
        map { $_->{goodput} } map { values %$_ } values %$m;

    return $best || 1;
}


sub curves {
    my ($m) = @_;

    my ($most) = sort { $b <=> $a } @loads;

    plot("$top/build/bench/overload.svg",
        title => "Goodput under overload, SLO $slo ms",
        x => 'offered load, requests/s',
        y => 'answered in time, requests/s',
        guide => {
            name => 'the best there is',
            points => [ [ 0, 0 ], [ $capacity, $capacity ],
                        [ $most * $capacity, $capacity ] ],
        },
        series => [ map {
            my $way = $_;
            { name => $names{$way},
              points => [ map { [ @{$m->{$way}{$_}}{qw(offered goodput)} ] }
                          sort { $a <=> $b } @loads ] }
        } @ways ]);

    print "  curves: build/bench/overload.svg\n";
}
