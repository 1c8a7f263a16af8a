#!/usr/bin/perl

# What mark_status and the variables in the access log say of pools.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use POSIX ();
use Test::Mark;
use Test::Mark::Metrics qw(parse_metrics);

my $t = Test::Mark->new(workers => 2);

my $backend = $t->backend(8081);

$t->backend(8082, handler => sub { { status => 500, body => '{}' } });

$t->backend(8085, hang => 1);

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    log_format marks '$uri $status <$mark_batch_size> <$mark_server_class> '
                     '<$mark_choice> <$mark_predicted>';
    access_log %%DIR%%/access.log marks;

    upstream one {
        server 127.0.0.1:%%PORT_8081%% max_conns=7 weight=3;
        mark_balance slo slots=5;
        mark_server 127.0.0.1:%%PORT_8081%% 'class=a "\b' price=3.6
                    max_batch=9;
        keepalive 4;
    }

    upstream bad {
        mark_balance slo;
        mark_server 127.0.0.1:%%PORT_8082%% class=gpu;
        mark_server 127.0.0.1:%%PORT_8083%% backup;
        mark_server 127.0.0.1:%%PORT_8084%% down price=1000000000000000000;
    }

    upstream classes {
        mark_balance slo;
        mark_server 127.0.0.1:%%PORT_8081%% class=cpu price=1;
    }

    # the first is cheap, goes away, and is never ejected

    upstream again {
        mark_balance slo retries=100% max_ejected=0;
        mark_server 127.0.0.1:%%PORT_8083%% price=1;
        mark_server 127.0.0.1:%%PORT_8081%% price=2;
    }

    upstream hangs {
        mark_balance slo;
        mark_server 127.0.0.1:%%PORT_8085%%;
    }

    upstream none {
        server 127.0.0.1:%%PORT_8081%%;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /one {
            mark_batch v1;
            mark_max_queue_delay 5ms;
            proxy_pass http://one;
        }

        location /bad {
            proxy_pass http://bad;
        }

        location /classes {
            mark_batch v1;
            mark_slo 60s;
            mark_max_queue_delay 500ms;
            mark_max_batch_size 8;
            proxy_pass http://classes;
        }

        location /plain {
            proxy_pass http://classes;
        }

        location /again {
            mark_batch v1;
            mark_slo 60s;
            proxy_pass http://again;
        }

        location /hangs {
            proxy_pass http://hangs;
        }

        location /none {
            proxy_pass http://none;
        }

        location = /mark_status {
            mark_status;
        }

        location = /metrics {
            mark_status prometheus;
        }
    }
}
EOC

my $p = $t->port(8080);
my ($one, $bad, $s);

# Before anything has happened.

my @pools = @{$t->status->{pools}};
is(join(' ', sort map { $_->{upstream} } @pools), 'again bad classes hangs one',
    'pools');

$one = pool('one');
is($one->{slots}, 5, 'slots');
is($one->{plan}, undef, 'no plan');
is(sum(@$one{qw(retried retry_refused no_peer hedged)}), 0, 'pool: zeros');
is(scalar @{$one->{servers}}, 1, 'a server');

$s = $one->{servers}[0];
is($s->{server}, '127.0.0.1:' . $t->port(8081), 'server: address');
is($s->{name}, '127.0.0.1:' . $t->port(8081), 'server: name');
is($s->{id}, '', 'server: no id');
is($s->{class}, 'a "\b', 'server: class, with odd characters');
is("$s->{state} $s->{health} $s->{outlier}", 'ready unknown healthy',
    'server: state');
is("$s->{price} $s->{weight} $s->{concurrency} $s->{max_batch}", '3.6 3 7 9',
    'server: as configured');
is(sum(@$s{qw(in_flight requests rows failures ejections explored busy_seconds
              cost)}), 0, 'server: zeros');
is($s->{share}, 1, 'server: its share');
is(scalar @{$s->{learned}}, 0, 'server: nothing learned');

$bad = pool('bad');
is(join(' ', map { $_->{backup} ? 1 : 0 } @{$bad->{servers}}), '0 1 0',
    'backup');
is(join(' ', map { $_->{down} ? 1 : 0 } @{$bad->{servers}}), '0 0 1', 'down');

# A load that is known.

is(http_post($p, '/one', '{"instances": [1, 2]}')->{status}, 200, "request $_")
    for 1 .. 12;

# claims are released before the answer is through, and counted then

$s = pool('one')->{servers}[0];
is("$s->{in_flight} $s->{requests} $s->{rows}", '0 12 24', 'load: counted');
is(sum(@$s{qw(failures ejections)}), 0, 'load: no failures');
cmp_ok($s->{busy_seconds}, '>', 0, 'load: busy');

# of 7 places each batch had one

cmp_ok(abs($s->{cost} * 7 * 1000 / $s->{busy_seconds} - 1), '<', 0.001,
    'load: 3.6 an hour');

is(scalar @{$s->{learned}}, 1, 'load: one kind of requests');
like($s->{learned}[0]{kind}, qr/^[0-9a-f]{8}$/, 'load: it has a name');
cmp_ok($s->{learned}[0]{concurrency}, '>=', 1, 'load: concurrency');
cmp_ok($s->{learned}[0]{base_seconds} + $s->{learned}[0]{row_seconds}, '>', 0,
    'load: latency');

# Failures.  A 500 is passed on: proxy_next_upstream says nothing of it.

is(http_get($p, '/bad')->{status}, 500, "failure $_") for 1 .. 5;

$bad = pool('bad');
$s = $bad->{servers}[0];
is("$s->{requests} $s->{failures} $s->{ejections}", '5 5 1', 'failures');
isnt($s->{outlier}, 'healthy', 'failures: ejected');
is($s->{class}, 'gpu', 'failures: class');

# Batches count for the budget of retries as other requests do: beside the
# share of them there is one a second.

my $gone = $t->backend(8083);
http_post($p, '/again', '{"instances": [1]}') for 1 .. 40;
$gone->stop;

is(scalar(grep { http_post($p, '/again', '{"instances": [1]}')->{status} == 200
          } 1 .. 30),
    30, 'tried again');
is(join(' ', @{pool('again')}{qw(retried retry_refused)}), '30 0',
    'tried again: counted');

# Why requests went where they went.

my $seconds = qr/<\d+\.\d{6}>/;

logged('no deadline', qr!/one 200 <1> <a \\x22\\x5Cb> <earliest> <.*>!, 12);
logged('not known yet', qr!/one 200 .* <->!);
logged('expected', qr!/one 200 .* $seconds!);

http_get($p, '/plain');
logged('not batched', qr!/plain 400 <-> <cpu> <earliest> <->!);

http_get($p, '/none');
logged('no pool', qr!/none 400 <-> <-> <-> <->!);

my $full = { uri => '/classes', body => '{"instances": [1]}' };

is(scalar(grep { $_->{status} == 200 }
          http_many([($full) x 8], port => $p, concurrency => 8)),
    8, "a batch: $_") for 1 .. 9;

# members in either worker

logged('batched', qr!/classes 200 <\d> <cpu> <(?:cheap|earli)est> .*!, 72);
logged('batched, in time', qr!/classes 200 <\d> <cpu> <cheapest> .*!);
logged('batched, expected', qr!/classes 200 <\d> <cpu> <\w+> $seconds!);

# the try that a server has after it was ejected

ok(wait_for(sub { pool('bad')->{servers}[0]{outlier} eq 'probing' }, 15),
    'probing');
is(http_get($p, '/bad')->{status}, 500, 'probed');
logged('probed', qr!/bad 500 <-> <gpu> <probe> .*!);

# Prometheus says the same.

my $metrics = parse_metrics(http_get($p, '/metrics')->{body});

for my $pool (@{$t->status->{pools}}) {
    my $name = "Prometheus: $pool->{upstream}";
    my $upstream = qq(upstream="$pool->{upstream}");

    my %expected = (
        qq(retries_total{$upstream,result="made"}) => $pool->{retried},
        qq(retries_total{$upstream,result="refused"})
            => $pool->{retry_refused},
        qq(no_peer_total{$upstream}) => $pool->{no_peer},
        qq(hedges_total{$upstream}) => $pool->{hedged},
        qq(plans_total{$upstream,result="accepted"}) => 0,
        qq(plans_total{$upstream,result="refused"}) => 0,
    );

    for my $s (@{$pool->{servers}}) {
        my $labels = sprintf '%s,server="%s",class="%s"', $upstream,
            $s->{server}, $s->{class} =~ s/([\\"])/\\$1/gr;

        %expected = (%expected,
            (map { ("server_${_}_total{$labels}" => $s->{$_}) }
                qw(requests rows failures ejections explored busy_seconds
                   cost)),
            (map { (qq(server_state{$labels,state="$_"})
                        => $_ eq $s->{state} ? 1 : 0) }
                qw(warming ready draining)),
            "server_in_flight{$labels}" => $s->{in_flight},
            "server_up{$labels}"
                => $s->{down} || $s->{outlier} ne 'healthy' ? 0 : 1,
            "server_ejected{$labels}" => $s->{outlier} ne 'healthy' ? 1 : 0,
            "server_share_ratio{$labels}" => $s->{share},
        );
    }

    my @wrong = grep {
        my $value = delete $metrics->{"nginx_mark_pool_$_"};
        !defined $value || $value != $expected{$_}
    } sort keys %expected;

    is("@wrong", '', $name);
}

is(join(' ', grep { /^nginx_mark_pool_/ } sort keys %$metrics), '',
    'Prometheus: no more than that');

# What a worker that crashed had in flight is so no more.

my $client = fork;
die "cannot fork: $!\n" unless defined $client;

if ($client == 0) {
    http_get($p, '/hangs');
    POSIX::_exit(0);
}

ok(wait_for(sub { pool('hangs')->{servers}[0]{in_flight} == 1 }, 5),
    'crash: in flight');
ok($t->kill_worker($_), 'crash') for $t->workers;
waitpid $client, 0;
is(pool('hangs')->{servers}[0]{in_flight}, 0, 'crash: no more');

done_testing;


# at least so many lines of the access log are like this

sub logged {
    my ($name, $regex, $n) = @_;

    my $found;

    ok(wait_for(sub {
        $found = () = $t->access_log =~ /^(?:$regex)$/mg;
        return $found >= ($n || 1);
    }, 5), "log: $name") or diag("$found lines");
}


sub pool {
    my ($name) = @_;

    my ($found) = grep { $_->{upstream} eq $name } @{$t->status->{pools}};

    return $found;
}


sub sum {
    my $sum = 0;

    $sum += $_ for @_;

    return $sum;
}
