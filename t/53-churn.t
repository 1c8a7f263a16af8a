#!/usr/bin/perl

# Servers come, drain and leave by a plan five times a second, under load, with
# reloads in between and a worker that is killed: every answer is right, none
# is lost but those that died with the worker, and nothing is left behind.
# TEST_MARK_SOAK makes it two minutes.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use POSIX ();
use Time::HiRes qw(time sleep);

use Test::Mark;
use Test::Mark::Plan;

my $load = $ENV{TEST_MARK_LOAD} || "$FindBin::Bin/../build/mark-load";
my $seconds = $ENV{TEST_MARK_SOAK} ? 120 : 6;

plan(skip_all => 'no mark-load') unless -x $load;

# what dies with a worker is not freed: that is looked at before

my $t = Test::Mark->new(workers => $ENV{TEST_NGINX_WORKERS} || 2,
                        log_level => 'notice', leak_check => 0);

plan(skip_all => 'no module') unless $t->has_module;

my @names = 8081 .. 8086;

$t->backend($_, delay => 0.004) for @names;

my $conf = <<'EOC';
%%GLOBALS%%
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
    %%HTTP%%
    access_log off;
    keepalive_requests 1000000;

    upstream p {
        server 127.0.0.1:%%PORT_8081%%;
        mark_balance slo slots=8;
        mark_plan file %%DIR%%/plan.json interval=20ms;
        keepalive 16;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location /plain { proxy_pass http://p; }
        location /batched { mark_batch v1; mark_slo 1s; proxy_pass http://p; }
        location = /mark_status { mark_status json; }
    }
}
EOC

my $plan = Test::Mark::Plan->new(pool => 'p', file => $t->dir . '/plan.json');

srand 53;


# some of the servers, at least one of them ready

sub change {
    my @some = grep { rand() < 0.6 } @names[1 .. $#names];

    $plan->put($plan->text(peers => [
        { address => '127.0.0.1:' . $t->port(8081) },
        map {
            my $n = rand;
            { address => '127.0.0.1:' . $t->port($_), $n < 0.15
                  ? (state => 'draining') : $n < 0.3 ? (state => 'warming')
                  : (concurrency => int(rand 4), weight => 1 + int(rand 3)) }
        } @some
    ]));
}


sub start {
    my ($name, $time, @options) = @_;

    my %r = (name => $name, report => "$name.json", said => "$name.said");
    my $dir = $t->dir;
    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDOUT, '>', "$dir/$r{said}";
        open STDERR, '>&', \*STDOUT;

        exec($load, '--json', "$dir/$r{report}", '--duration', $time,
             '--timeout', 30, '--concurrency', 16,
             '--body', '{"instances": [[%u, "a]%u"], {"id": %u}]}',
             '--expect', '{"predictions": [[%u, "a]%u"], {"id": %u}]}',
             @options, 'http://127.0.0.1:' . $t->port(8080) . "/$name")
            or POSIX::_exit(3);
    }

    return { %r, pid => $pid };
}


sub report {
    my ($r) = @_;

    waitpid $r->{pid}, 0;

    my $report = eval { JSON::PP->new->decode($t->read_file($r->{report})) };

    ok($report, "$r->{name}: a report") or diag($t->read_file($r->{said}));

    return $report || {};
}


sub churn {
    my ($time, $reload) = @_;

    my $end = time + $time;
    my $n = 0;

    while (time < $end) {
        change();
        $t->reload if $reload && ++$n % 7 == 0;
        sleep 0.2;
    }
}

change();
$t->conf($conf)->run;
$t->wait_log(qr/is in force/);

my @running = map { start($_, $seconds) } qw(plain batched);

churn($seconds - 1, 1);

for my $r (@running) {
    my $report = report($r);

    is($report->{wrong}, 0, "$r->{name}: no wrong answer")
        or diag($t->read_file($r->{said}));
    is($report->{errors}{total}, 0, "$r->{name}: each has an answer")
        or diag($t->read_file($r->{said}));
    cmp_ok($report->{ok}, '>', 100, "$r->{name}: $report->{ok} answers");
}

my $changes = () = $t->log =~ /is in force/g;
cmp_ok($changes, '>', 2 * $seconds, "$changes changes");
unlike($t->log, qr/waits for room|is refused/, 'all of them were applied');

ok(wait_for(sub {
    my $s = $t->status;
    return !$s->{queued} && !$s->{in_flight}
           && $s->{carriers}{created} == $s->{carriers}{freed};
}), 'nothing is left');

# a worker dies with its clients; all others are answered

@running = map { start($_, 2) } qw(plain batched);
sleep 0.5;
ok($t->kill_worker, 'a worker is killed');
churn(1, 0);

for my $r (@running) {
    my $report = report($r);

    is($report->{wrong}, 0, "$r->{name}: no wrong answer");
    cmp_ok($report->{errors}{total}, '<=', 2 * 16,
        "$r->{name}: no more are lost than it could have had");
}

# as the first server shows, nothing is in flight: it drains, and is gone

$plan->put($plan->text(peers => [
    map { { address => '127.0.0.1:' . $t->port($_), concurrency => 1 } }
        @names
]));
my $version = $plan->version;
ok($t->wait_log(qr/plan $version of/), 'all servers, one at a time');

my $left;

ok(wait_for(sub {
    my @r = http_many([ map {
        { method => 'POST', uri => '/batched',
          body => "{\"instances\": [$_]}" }
    } 1 .. 24 ], port => $t->port(8080));
    my $n = grep { $_->{status} == 200 } @r;

    $left = $t->status;
    return $n == 24 && !$left->{queued} && !$left->{in_flight};
}), 'which they take, and nothing is left');

done_testing();
