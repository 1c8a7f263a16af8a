#!/usr/bin/perl

# Which balancer gets the most out of a pool of unequal servers, and its cost.
#
# The servers are real processes of mark-server: echoes that serve one request
# at a time in T(n) = a + b * n, asleep, the others waiting there in order.
# What is measured is the waiting and not how fast this machine computes, so
# that several balancers, each with servers of its own, can be measured at one
# time ("lanes").  Requests have one row.
#
#   ./run bench pool [--quick] [--repeats N] [--seconds S] [--slo MS]
#                    [--class NAME=COUNT,PRICE,MS,ROW_MS]... [--max-batch N]
#                    [--modes plain,batched] [--only BALANCER,...]
#                    [--loads X,...] [--steps N] [--lanes N]
#                    [--newest DIR] [--list]
#
# Of each balancer, plain and with mark_batch: the highest Poisson rate of
# which 99 % is answered within the SLO, goodput at multiples of the capacity,
# which class of servers did the work, and what it costs.  --newest, or
# NGINX_NEWEST_SRC, is a source tree of nginx with least_time (1.31.0).
# Medians go to stdout, a JSON line for each run to build/bench/pool.jsonl, the
# curves to build/bench/pool-plain.svg and pool-batched.svg.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use File::Path qw(make_path);
use Getopt::Long;
use JSON::PP ();
use List::Util qw(max sum0);
use Mark::Bench qw(median slurp table);
use Mark::Plot qw(plot);
use Mark::Pool qw(balancer balancers balancer_weights classes drain
                  newest_nginx rows_a_second sample start_balancer
                  start_servers unusable);
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

my %o = (slo => 100, 'max-batch' => 8, modes => 'plain,batched', lanes => 4,
         newest => $ENV{NGINX_NEWEST_SRC});

GetOptions(\%o, 'quick', 'repeats=i', 'seconds=i', 'slo=i', 'class=s@',
           'max-batch=i', 'modes=s', 'only=s', 'loads=s', 'steps=i',
           'lanes=i', 'newest=s', 'list') && !@ARGV
    or die "usage: pool.pl [--quick] [--repeats N] [--seconds S] [--slo MS]\n"
           . "               [--class NAME=COUNT,PRICE,MS,ROW_MS]... "
           . "[--max-batch N]\n"
           . "               [--modes plain,batched] [--only BALANCER,...]\n"
           . "               [--loads X,...] [--steps N] [--lanes N]\n"
           . "               [--newest DIR] [--list]\n";

my %default = $o{quick}
    ? (loads => '0.1,0.3,0.9,1.2', repeats => 1, seconds => 3, steps => 2)
    : (loads => '0.1,0.3,0.6,0.9,1.2', repeats => 2, seconds => 8, steps => 4);

%o = (%default, %o);

# of the search for weights: seconds of a run, steps, and by what the ratio of
# the capacities is multiplied

my ($weight_seconds, $weight_steps, @factors)
    = $o{quick} ? (3, 3, 1, 1.4) : (4, 5, 0.7, 1, 1.4, 2, 3);

use constant {
    WITHIN => 0.99,             # of what is offered, to meet the SLO
    WARMUP => 1,                # seconds before what is counted
    LEARN => 2,                 # of load before the first run
    SHARE => 0.7,               # of the machine; with more it is in the way
    LATE => 0.1,                # of the SLO, the p99 of how late requests left
    TRIES => 3,                 # of a run that was later
};

my @classes = classes($o{'max-batch'}, @{$o{class}
                      || [ 'dear=1,3.0,4,0.25', 'cheap=2,0.5,20,2' ]});
my @modes = split /,/, $o{modes};
my @loads = sort { $a <=> $b } split /,/, $o{loads};
my @only = $o{only} ? split /,/, $o{only} : balancers();

for (grep { !balancer($_) } @only) {
    die "no balancer $_; --list shows them\n";
}

if ($o{list}) {
    printf "%-14s %s\n", $_, balancer($_)->{name} for balancers();
    exit 0;
}

my %capacity = map {
    my $mode = $_;
    $mode => sum0(map { $_->{count} * rows_a_second($_, $mode) } @classes)
} @modes;

my $top = $Mark::Bench::top;
my $json = JSON::PP->new->canonical;
my $newest = $o{newest} && newest_nginx($o{newest});
my $bench = Mark::Bench->new;
my @lanes = map { start_servers($bench, $_, @classes) } 1 .. $o{lanes};
my %lane_of;                    # pid => [ task, lane, file ]

END {
    # those that wait for their own children must be told
    kill 'TERM', keys %lane_of if %lane_of && $$ == $bench->{owner};
}

make_path("$top/build/bench");
open my $lines, '>', "$top/build/bench/pool.jsonl" or die "pool.jsonl: $!\n";
$lines->autoflush;

record({ kind => 'setup', slo_ms => $o{slo}, seconds => $o{seconds},
         repeats => $o{repeats}, steps => $o{steps}, within => WITHIN,
         lanes => $o{lanes}, classes => \@classes, capacity => \%capacity });

my $began = time;
my (@notes, %weights);
my @ways = ways();

# one after the other, of each repeat: what drifts does so for all

my %found = search_weights();

$_->{weights} = $found{$_->{mode}}
    for grep { ($_->{balancer}{weights} || '') eq 'search' } @ways;

my @records = run_tasks(map {
    my $n = $_;
    map { { way => $_, repeat => $n, measure => \&measure } } @ways;
} 1 .. $o{repeats});

report(@records);
exit((grep { $_->{wrong} } @records) ? 1 : 0);


sub record {
    print $lines $json->encode($_), "\n" for @_;
}


# each mode of each balancer that can be measured here

sub ways {
    my (@ways, %noted);

    for my $mode (@modes) {
        for my $key (@only) {
            my $b = balancer($key);

            next if $b->{modes} && $b->{modes} ne $mode;

            my $way = {
                mode => $mode, key => $key, name => $b->{name},
                balancer => $b, slo => $o{slo},
                $b->{weights}
                    ? (weights => balancer_weights($mode, 1, @classes)) : (),
            };

            my $why = unusable($bench, $way, $lanes[0], $newest);

            if (!$why) {
                push @ways, $way;

            } elsif (!$noted{$key}++) {
                push @notes, "skipped: $b->{name} ($why)";
                print STDERR "  $notes[-1]\n";
                record({ kind => 'skipped', balancer => $key, why => $why });
            }
        }
    }

    return @ways;
}


# The weights with which round robin meets the SLO at the highest rate, each
# tried once, with arrivals that no later run has.

sub search_weights {
    my @tasks;

    for my $way (grep { ($_->{balancer}{weights} || '') eq 'search' } @ways) {
        my %seen;

        for my $factor (@factors) {
            my $w = balancer_weights($way->{mode}, $factor, @classes);
            next if $seen{$json->encode($w)}++;

            push @tasks, { repeat => 100, measure => \&measure_weights,
                           way => { %$way, weights => $w } };
        }
    }

    my %best;

    for my $r (grep { $_->{kind} eq 'weights' } run_tasks(@tasks)) {
        my $mode = $r->{mode};

        push @{$weights{$mode}}, $r;
        $best{$mode} = $r
            if !$best{$mode} || $r->{bound} > $best{$mode}{bound};
    }

    return map { $_ => $best{$_}{weights} } keys %best;
}


# Runs tasks, as many at a time as there are lanes, each in a process of its
# own; returns what they have recorded.

sub run_tasks {
    my @todo = @_;
    my @free = @lanes;
    my @records;

    while (@todo || %lane_of) {
        while (@todo && @free) {
            my $task = shift @todo;
            my $servers = shift @free;
            my $file = File::Temp->new(DIR => $bench->dir);

            my $pid = fork;
            die "cannot fork: $!\n" unless defined $pid;

            if ($pid == 0) {
                %lane_of = ();
                run_task($task, $servers, $file);
                exit 0;
            }

            $lane_of{$pid} = [ $task, $servers, $file ];
        }

        for my $pid (keys %lane_of) {
            next if waitpid($pid, WNOHANG) != $pid;

            my ($task, $servers, $file) = @{delete $lane_of{$pid}};

            die "$task->{way}{name} was not measured\n" if $?;

            my @r = map { $json->decode($_) } split /\n/,
                slurp($file->filename);

            record(@r);
            push @records, @r;
            push @free, $servers;
        }

        sleep 0.05;
    }

    return @records;
}


sub run_task {
    my ($task, $servers, $file) = @_;

    my $way = $task->{way};
    my $b = Mark::Bench->new;

    # requests of who was here before may still be computed

    drain($servers);

    my ($port) = start_balancer($b, $way, $servers, $newest);
    my %lane = (bench => $b, servers => $servers, port => $port,
                capacity => $capacity{$way->{mode}}, %$task);

    run(\%lane, 'learn', 0.5, LEARN);

    my @r = $task->{measure}->(\%lane);
    my %of = (mode => $way->{mode}, balancer => $way->{key},
              repeat => $task->{repeat},
              $way->{weights} ? (weights => $way->{weights}) : ());

    open my $f, '>', $file->filename or die "$!\n";
    print $f map { $json->encode({ %of, %$_ }) . "\n" } @r;
    close $f or die "$!\n";
}


# Goodput at each load; the highest rate is then between the last that has met
# the SLO and the next.  What has failed below it was disturbed.

sub measure {
    my ($lane) = @_;

    my @r = map { run($lane, 'load', $_, $o{seconds}) } @loads;
    my $low = max(0, map { $_->{met} ? $_->{load} : () } @r);
    my ($high) = grep { $_ > $low } @loads, 1.5 * $low;

    return search($lane, $low, $high, $o{steps}, $o{seconds}, @r);
}


sub measure_weights {
    my ($lane) = @_;

    return map { $_->{kind} eq 'bound' ? { %$_, kind => 'weights' } : () }
        search($lane, 0.3, 1.1, $weight_steps, $weight_seconds);
}


sub search {
    my ($lane, $low, $high, $n, $time, @r) = @_;

    for (1 .. $n) {
        my $load = ($low + $high) / 2;
        my $r = run($lane, 'search', $load, $time);

        push @r, $r;
        $r->{met} ? ($low = $load) : ($high = $load);
    }

    printf STDERR "  %-9s %-30s %8.1f requests/s within the SLO%s\n",
        $lane->{way}{mode}, $lane->{way}{name}, $low * $lane->{capacity},
        shown_weights($lane->{way}{weights});

    return (@r, { kind => 'bound', bound => $low * $lane->{capacity},
                  step => ($high - $low) * $lane->{capacity} });
}


sub shown_weights {
    my ($w) = @_;

    return $w ? ', ' . join ':', map { $w->{$_->{name}} } @classes : '';
}


# A run in which requests did not leave in time says something of the machine
# and not of the balancer: it is made again.

sub run {
    my ($lane, @what) = @_;

    for my $n (1 .. TRIES) {
        my $r = run_once($lane, @what);

        $r->{tries} = $n;
        $r->{late} = $r->{lag_p99_ms} > LATE * $o{slo} ? 1 : 0;

        return $r if !$r->{late} || $n == TRIES;
    }
}


# An open loop at this load.  Servers are looked at every second of what is
# counted.

sub run_once {
    my ($lane, $kind, $load, $time) = @_;

    my $servers = $lane->{servers};
    my $last = WARMUP + $time;
    my @ticks;

    drain($servers);

    my @machine = machine();

    my $r = $lane->{bench}->load([
        '--rate', $load * $lane->{capacity}, '--duration', $last,
        '--warmup', WARMUP, '--seed', $lane->{repeat},
        '--connections', 2048,
        '--timeout', 2, '--slo', $o{slo}, '--expect-status', '200,503',
        '--body', '{"instances": [[%u, 2.0, 5.0]]}',
        '--expect', '{"predictions": [[%u, 2.0, 5.0]]}',
        "http://127.0.0.1:$lane->{port}/v1/models/echo:predict",
    ], progress => sub {
        my ($at) = $_[0] =~ /^\s*(\d+) s/;

        push @ticks, [ time, sample($servers) ]
            if defined $at && $at >= WARMUP && $at <= $last;
    });

    my @after = machine();
    my $busy = ($after[0] - $machine[0]) / (($after[1] - $machine[1]) || 1);
    my $offered = $r->{offered}{count} || 1;
    my $within = $r->{within_slo} / $offered;

    print STDERR $r->{said} if $r->{wrong};

    return {
        kind => $kind, load => $load, rate => $load * $lane->{capacity},
        offered => $r->{offered}{rate}, goodput => $r->{goodput},
        within => $within, met => $within >= WITHIN ? 1 : 0,
        p50_ms => $r->{latency}{p50}, p99_ms => $r->{latency}{p99},
        lag_p99_ms => $r->{lag}{p99}, wrong => $r->{wrong},
        rejected => $r->{status}{503} || 0, errors => $r->{errors}{total},
        machine => $busy, load_cpu => $r->{cpu_seconds} / $r->{elapsed},
        work($servers, $r->{goodput}, @ticks),
    };
}


# Which class did what between the ticks, and what a million of the answers
# within the SLO have cost.

sub work {
    my ($servers, $goodput, @ticks) = @_;

    return () if @ticks < 2;

    my $time = $ticks[-1][0] - $ticks[0][0];
    my (%work, %dollars);

    for my $i (0 .. $#$servers) {
        my $class = $servers->[$i]{class};
        my $w = $work{$class->{name}} ||= { map { $_ => 0 }
                                            qw(requests rows busy_seconds) };

        $w->{$_} += $ticks[-1][1][$i]{$_} - $ticks[0][1][$i]{$_} for keys %$w;

        my $busy = $ticks[-1][1][$i]{busy_seconds}
                   - $ticks[0][1][$i]{busy_seconds};
        my $up = sum0(map {
            $ticks[$_][1][$i]{busy_seconds}
                > $ticks[$_ - 1][1][$i]{busy_seconds}
                ? $ticks[$_][0] - $ticks[$_ - 1][0] : ()
        } 1 .. $#ticks);

        $dollars{all} += $class->{price} * $time / 3600;
        $dollars{released} += $class->{price} * $up / 3600;
        $dollars{busy} += $class->{price} * $busy / 3600;
    }

    my $rows = sum0(map { $_->{rows} } values %work) || 1;

    for my $class (@classes) {
        my $w = $work{$class->{name}};

        $w->{share} = $w->{rows} / $rows;
        $w->{busy} = $w->{busy_seconds} / $class->{count} / $time;
        $w->{batch} = $w->{requests} ? $w->{rows} / $w->{requests} : 0;
    }

    my $good = $goodput * $time;

    return (classes => \%work, cost => {
        map { $_ => $good ? 1e6 * $dollars{$_} / $good : undef } keys %dollars
    });
}


# what all processors have done, and all of their time, in ticks

sub machine {
    my @f = slurp('/proc/stat') =~ /^cpu +(.*)$/m ? split ' ', $1 : ();
    my $all = sum0(@f[0 .. 7]);

    return ($all - $f[3] - $f[4], $all);
}


sub report {
    my @runs = @_;

    printf "\nServers: %s.\n", join '; ', map {
        sprintf '%d %s, %g ms + %g ms a row, %.2f an hour', $_->{count},
            $_->{name}, $_->{base}, $_->{row}, $_->{price}
    } @classes;
    printf "Batches of up to %d rows. SLO %d ms. %d repeats, runs of %d s, "
        . "%.0f s in all.\n", $o{'max-batch'}, $o{slo}, $o{repeats},
        $o{seconds}, time - $began;
    print "$_\n" for @notes;

    for my $mode (@modes) {
        my %of;

        push @{$of{$_->{balancer}}}, $_ for grep { $_->{mode} eq $mode } @runs;
        next unless %of;

        printf "\n%s, capacity %.0f requests/s\n",
            $mode eq 'plain' ? 'One request at a time (proxy_pass)'
                             : 'Batches (mark_batch v1)', $capacity{$mode};
        report_weights($mode) if $weights{$mode};
        report_loads($mode, \%of);
        report_bounds($mode, \%of);
        curves($mode, \%of);
    }

    print <<'EOC';

within: of what was offered, answered right within the SLO. bound: the highest
rate at which that is 99 %, by halving the interval; +- half of the last one.
Prices for a million answers within the SLO, if a server is paid for
  all        all the time;
  released   each second in which it has computed anything (it is given back
             while it has nothing to do for a whole one, and is back at once);
  busy       only while it computes.
EOC

    my $most = max(map { $_->{machine} || 0 } @runs);
    my $load = max(map { $_->{load_cpu} || 0 } @runs);
    my @made = grep { defined $_->{lag_p99_ms} } @runs;
    my $again = sum0(map { $_->{tries} - 1 } @made);
    my $late = grep { $_->{late} } @made;

    printf "The machine was busy up to %.0f %%%s, one mark-load up to %.0f %% "
        . "of a processor.\np99 of how late requests left: median %.2f ms; "
        . "made again because it was over %g ms:\n%d of %d runs, in vain %d"
        . "%s.\n", 100 * $most, $most > SHARE ? ', TOO MUCH' : '',
        100 * $load, median(map { $_->{lag_p99_ms} } @made) || 0,
        LATE * $o{slo}, $again, @made + $again, $late,
        $late ? ', so do NOT TRUST this' : '';
    print "JSON lines: build/bench/pool.jsonl; curves: "
        . join(', ', map { "build/bench/pool-$_.svg" } @modes) . "\n";
}


sub report_weights {
    my ($mode) = @_;

    print "Static weights, ", join(':', map { $_->{name} } @classes),
        ", and the rate within the SLO: ", join('; ', map {
            sprintf '%s %.0f', join(':', @{$_->{weights}}
                                         {map { $_->{name} } @classes}),
                $_->{bound}
        } @{$weights{$mode}}), "\n";
}


sub report_loads {
    my ($mode, $of) = @_;

    my $names = join '/', map { $_->{name} } @classes;

    for my $load (@loads) {
        my @rows = ([ 'balancer', 'goodput/s', 'within', 'p50 ms', 'p99 ms',
                      "rows, % $names", 'busy, %',
                      $mode eq 'plain' ? () : 'rows a batch',
                      '$ all', '$ released', '$ busy' ]);

        for my $key (grep { $of->{$_} } balancers()) {
            my @r = at_load($of->{$key}, $load);

            push @rows, [
                balancer($key)->{name},
                middle('%.0f', map { $_->{goodput} } @r),
                middle('%.1f %%', map { 100 * $_->{within} } @r),
                middle('%.1f', map { $_->{p50_ms} } @r),
                middle('%.1f', map { $_->{p99_ms} } @r),
                by_class('%.0f', 100, 'share', @r),
                by_class('%.0f', 100, 'busy', @r),
                $mode eq 'plain' ? () : by_class('%.1f', 1, 'batch', @r),
                map { cost($_, @r) } qw(all released busy),
            ];
        }

        printf "\nLoad %g, %.0f requests/s\n\n", $load,
            $load * $capacity{$mode};
        table(@rows);
    }
}


# the median of what is known

sub middle {
    my ($format, @v) = @_;

    my $v = median(grep { defined } @v);

    return defined $v ? sprintf $format, $v : '-';
}


# where next to nothing is in time a price says nothing

sub cost {
    my ($what, @r) = @_;

    return middle('%.2f', map { $_->{within} < 0.01 ? () : $_->{cost}{$what} }
                          @r);
}


sub by_class {
    my ($format, $scale, $what, @r) = @_;

    return join '/', map {
        my $n = $_->{name};
        middle($format, map { $scale * $_->{classes}{$n}{$what} } @r)
    } @classes;
}


sub at_load {
    my ($runs, $load) = @_;

    return grep { $_->{kind} eq 'load' && $_->{load} == $load } @$runs;
}


sub bounds {
    map { $_->{bound} } grep { $_->{kind} eq 'bound' } @{$_[0]};
}


sub report_bounds {
    my ($mode, $of) = @_;

    my @high = grep { $_ >= 0.9 } @loads;
    my @rows = ([ 'balancer', 'bound, requests/s', '+-', 'repeats',
                  'of capacity', 'to best static',
                  map({ "goodput at $_" } @high),
                  "\$ released at $loads[0]", "\$ busy at $loads[0]" ]);
    my $static = $of->{weighted} && median(bounds($of->{weighted}));

    for my $key (grep { $of->{$_} } balancers()) {
        my @b = sort { $a <=> $b } bounds($of->{$key});
        my $b = median(@b);
        my %r = (
            kind => 'result', mode => $mode, balancer => $key, bound => $b,
            bounds => \@b, of_capacity => $b / $capacity{$mode},
            to_static => $static ? $b / $static : undef,
            goodput => { map {
                $_ => median(map { $_->{goodput} } at_load($of->{$key}, $_))
            } @loads },
        );

        record(\%r);

        push @rows, [
            balancer($key)->{name}
                . (balancer($key)->{weights}
                   ? shown_weights($of->{$key}[0]{weights}) : ''),
            sprintf('%.0f', $b),
            sprintf('%.0f', max(map { $_->{step} / 2 }
                grep { $_->{kind} eq 'bound' } @{$of->{$key}})),
            join(' ', map { sprintf '%.0f', $_ } @b),
            sprintf('%.2f', $r{of_capacity}),
            defined $r{to_static} ? sprintf('%.2f', $r{to_static}) : '',
            map({ sprintf '%.0f', $r{goodput}{$_} } @high),
            map { cost($_, at_load($of->{$key}, $loads[0])) }
                qw(released busy),
        ];
    }

    print "\n";
    table(@rows);
}


# the four that say most

sub curves {
    my ($mode, $of) = @_;

    my %short = (slo => 'mark_balance', weighted => 'static split',
                 least_conn => 'least_conn', haproxy_queue => 'HAProxy',
                 least_time => 'least_time', round_robin => 'round robin');
    my @keys = grep { $of->{$_} }
        qw(slo weighted least_conn haproxy_queue least_time round_robin);
    my $c = $capacity{$mode};

    splice @keys, 4;

    plot("$top/build/bench/pool-$mode.svg",
        title => 'Goodput of a pool of unequal servers, '
                 . ($mode eq 'plain' ? 'plain' : 'batched')
                 . ", SLO $o{slo} ms",
        x => 'offered load, requests/s',
        y => 'answered in time, requests/s',
        guide => {
            name => 'capacity',
            points => [ [ 0, 0 ], [ $c, $c ], [ $loads[-1] * $c, $c ] ],
        },
        series => [ map {
            my $key = $_;
            { name => $short{$key},
              points => [ map {
                  my @r = at_load($of->{$key}, $_);
                  [ median(map { $_->{offered} } @r),
                    median(map { $_->{goodput} } @r) ]
              } @loads ] }
        } @keys ]);
}
