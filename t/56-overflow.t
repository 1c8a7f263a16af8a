#!/usr/bin/perl

# mark_overflow: what the servers of a pool would answer too late goes to
# another location, within what it may cost.  Nothing here depends on how fast
# the machine is: a plan says that the pool's server takes 100 seconds, a
# request that hangs keeps it busy, and all deadlines are between that and
# what the other backend takes.  Batches are of one row, unless said otherwise.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::Mark;
use Test::Mark::HTTP;
use Test::Mark::Lambda qw(lambda service_error);
use Test::Mark::Metrics qw(parse_metrics);
use Time::HiRes qw(time sleep);

delete $ENV{$_} for grep { /^AWS_/ } keys %ENV;
$ENV{AWS_ACCESS_KEY_ID} = 'AKID';
$ENV{AWS_SECRET_ACCESS_KEY} = 's3cret';

plan(skip_all => 'no module') unless Test::Mark->new->has_module;

my $report = "REPORT RequestId: 1\tDuration: 41.52 ms\tBilled Duration: 42 ms"
    . "\tMemory Size: 1024 MB\tMax Memory Used: 90 MB\t\n";

# What the other backend does, by the location that the client asked.

my %other = (
    concurrency => { delay => 0.3 },
    slow => { delay => 0.5 },
    leave => { delay => 1.5 },
    reload => { delay => 1.5 },
    die => { hang => 1 },
    fail => { status => 500, body => '{"error": "broken"}' },
    reset => { reset => 1 },
    cut => { cut => 90 },
    rows => { rows => [ '1', '2', '3' ] },
    busy => { status => 429, headers => { 'Retry-After' => 60 },
              body => '{"error": "not now"}' },
    later => { status => 503, headers => { 'Retry-After' => 60 },
               body => '{"error": "not now"}' },
    refused => { status => 400, body => '{"error": "row"}' },
);

# Of each location: what mark_overflow says, and more lines.

my %locations = (
    open => 'requests_per_second=1000 concurrency=1000 cost_per_hour=1000',
    rate => 'requests_per_second=2',
    concurrency => 'concurrency=3',
    cost => 'cost_per_hour=0.005 request_cost=0.001',
    off => 'armed=off',
    plan => 'request_cost=0.001',
    slow => '',
    leave => 'request_cost=0.001 concurrency=1000',
    reload => 'request_cost=0.001',
    die => 'concurrency=2 request_cost=0.001 cost_per_hour=1',
    fail => 'request_cost=0.001', reset => '', cut => '', rows => '',
    busy => '', later => '', refused => '',
    full => '; mark_max_queue_size 2',
    full_off => 'armed=off; mark_max_queue_size 2',
    batch => '; mark_max_batch_size 4',
    body => '',
    lambda => 'cost_per_hour=1',
    throttle => '',
);

my ($t, $p, $own, $other, %blockers, %versions);

for my $workers (1, 4) {
    start($workers);
    bounds();
    finish();
}

start(1);
plans();
failures();
slow();
queue();
plain();
leaving();
functions();
metrics();
finish();

ends();
dies();
saturated();
conf();

done_testing();


# --- what is under test -----------------------------------------------------

sub start {
    my ($workers, %o) = @_;

    $t = Test::Mark->new(workers => $workers, log_level => 'info', %o);
    $p = $t->port(8080);
    (%blockers, %versions) = ();

    $own = $t->backend(8081, handler => sub {
        return { hang => 1 } if $_[0]{body} =~ /hang/;
        return { delay => 0.3 } if $_[0]{uri} =~ /plain/;
        return { delay => 1 } if $_[0]{uri} =~ /fail|reset|cut|rows|busy|late/;
        return;
    });

    my %keys = (AKID => { secret => 's3cret' });

    $other = $t->backend(8082, handler => sub {
        return $other{($_[0]{uri} =~ m!^/(\w+)!)[0]};
    });

    $t->backend(8083, handler => lambda(keys => \%keys,
        region => 'eu-central-1', function => sub {
            my ($req, $name) = @_;

            return service_error(429, 'TooManyRequestsException',
                { message => 'Rate Exceeded.' }, 'Retry-After' => 60)
                if $name eq 'throttle';

            my ($rows) = $req->{body} =~ /\[(.*)\]/s;

            return { body => qq({"predictions": [$rows]}), headers => {
                'X-Amz-Log-Result' => encode_base64($report, '') } };
        }));

    plan_of($_) for keys %locations, 'shed';

    $t->conf(configuration())->run;

    # until then the server's latency is not known

    ok(wait_for(sub {
        my $pools = $t->status->{pools};
        return !grep { !$_->{plan} || !$_->{plan}{version} } @$pools;
    }), "$workers workers: plans are in force");
}


sub configuration {
    my $conf = <<'EOC';
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    log_format l '$uri $status <$mark_reason> <$mark_overflow>';
    access_log %%DIR%%/access.log l;
    mark_slo $http_x_slo_ms;
    mark_max_batch_size 1;
    mark_timeout_action reject;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location = /mark_status { mark_status; }
        location = /metrics { mark_status prometheus; }
        location @other { proxy_pass http://127.0.0.1:%%PORT_8082%%; }
        location @body {
            proxy_set_body '{"instances": [0]}';
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
        }
        location @function {
            mark_lambda function=f:1024 region=eu-central-1 log_tail=on
                        endpoint=http://127.0.0.1:%%PORT_8083%%;
        }
        location @throttle {
            mark_lambda function=throttle region=eu-central-1
                        endpoint=http://127.0.0.1:%%PORT_8083%%;
        }
        location /shed { mark_batch v1; proxy_pass http://shed; }
        location /plain {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
            mark_overflow @other;
        }
EOC

    my %to = (body => '@body', lambda => '@function',
              throttle => '@throttle');

    for (sort keys %locations) {
        my $to = $to{$_} || '@other';

        # some say so the other way

        my $action = /^[a-l]/ ? 'mark_timeout_action overflow;' : '';

        $conf .= "location /$_ { mark_batch v1; proxy_pass http://$_; "
            . "mark_overflow $to $locations{$_}; $action }\n";
    }

    $conf .= "}\n";

    for (sort keys %locations, 'shed') {
        $conf .= "upstream $_ { mark_balance slo; "
            . "mark_plan file %%DIR%%/$_.json interval=50ms; "
            . "server 127.0.0.1:%%PORT_8081%%; }\n";
    }

    return "$conf}\n";
}


# A plan for a pool; more are its further members.

sub plan_of {
    my ($pool, %more) = @_;

    my $version = ++$versions{$pool};

    $t->write_file("$pool.new", JSON::PP::encode_json({
        format => 1, pool => $pool, version => $version,
        issued => time + $version / 1000, expires => time + 3600,
        peers => [ { address => '127.0.0.1:' . $t->port(8081),
                     concurrency => 1,
                     latency => { base => 100, row => 0 } } ],
        %more,
    }));

    rename $t->dir . "/$pool.new", $t->dir . "/$pool.json" or die;

    return 1 unless $t->pid;

    return wait_for(sub {
        my ($now) = grep { $_->{upstream} eq $pool } @{$t->status->{pools}};
        return $now->{plan}{version} == $version;
    });
}


# From now on its server is busy.

sub block {
    my ($name) = @_;

    my $n = () = hanging($name);
    my $c = $blockers{$name} = Test::Mark::HTTP->new($p);

    $c->send(method => 'POST', uri => "/$name",
             body => '{"instances": ["hang"]}');

    wait_for(sub { hanging($name) > $n }) or die "$name: not blocked\n";
}


sub hanging {
    my ($name) = @_;

    return grep { $_->{uri} eq "/$name" && $_->{body} =~ /hang/ }
        $own->requests;
}


sub unblock { (delete $blockers{$_[0]})->close }


# n requests at once, each with a row of its own

sub burst {
    my ($name, $n, $slo, %more) = @_;

    return http_many([ map {
        { method => 'POST', uri => "/$name", body => body($_),
          headers => { defined $slo ? ('X-SLO-Ms' => $slo) : () }, %more }
    } 1 .. $n ], port => $p);
}


sub body { qq({"instances": [[$_[0], 1.50]]}) }


sub answers {
    my ($n, $more) = @_;

    return join "\n", map { qq(200 {"predictions": [[$_, 1.50]]}) } 1 .. $n;
}


sub told { join "\n", map { "$_->{status} $_->{body}" } @_ }

sub count { scalar grep { $_->{status} == $_[0] } @_[1 .. $#_] }

sub received {
    my ($name) = @_;
    return grep { $_->{uri} eq "/$name" } $other->requests;
}

sub state { $t->location("/$_[0]")->{overflow} }


sub finish {
    $_->close for values %blockers;
    %blockers = ();

    ok(wait_for(sub {
        !grep { $_->{overflow} && $_->{overflow}{in_flight} }
            @{$t->status->{locations}}
    }), 'nothing is left elsewhere');

    $t->finish;
}


# --- bounds -----------------------------------------------------------------

# Each is held against what the other backend was really sent.

sub bounds {
    block($_) for qw(open rate concurrency cost off shed batch);

    my @r = burst('open', 20, 8000);

    is(told(@r), answers(20), 'all is answered elsewhere');
    is(scalar received('open'), 20, 'each by itself');
    like($t->access_log, qr!^/open 200 <overflow> <late>$!m, 'log');

    my $o = state('open');

    is_deeply([ @$o{qw(armed batches failed)}, $o->{requests} ],
        [ JSON::PP::true, 20, 0, { late => 20, full => 0 } ], 'counted');
    ok($o->{learned}, 'its latency is learned');

    @r = burst('batch', 8, 2000);
    is(told(@r), answers(8), 'batches elsewhere');

    # the rate: with one second's worth at once, and two each second

    @r = burst('rate', 30, 3000);

    my @at = sort { $a <=> $b } map { $_->{time} } received('rate');
    my @over;

    for my $i (0 .. $#at) {
        for my $k ($i .. $#at) {
            my $may = 2 + 2 * ($at[$k] - $at[$i]) + 1;
            push @over, "$i to $k" if $k - $i + 1 > $may;
        }
    }

    is("@over", '', 'requests_per_second');
    cmp_ok(scalar @at, '>=', 4, 'and it is used');
    is(count(200, @r), scalar @at, 'those are answered');
    is(count(503, @r), 30 - @at, 'the others are not');
    cmp_ok(state('rate')->{kept}{rate}, '>=', 1, 'kept: rate');

    # places: the fourth is sent when one of the three is answered

    @r = burst('concurrency', 12, 9000);
    @at = sort { $a <=> $b } map { $_->{time} } received('concurrency');

    is(told(@r), answers(12), 'all in turn');
    is(scalar(grep { $at[$_ + 3] - $at[$_] < 0.3 } 0 .. $#at - 3), 0,
        'concurrency');
    cmp_ok(state('concurrency')->{kept}{concurrency}, '>=', 1,
        'kept: concurrency');

    # money

    @r = burst('cost', 12, 8000);

    is(scalar received('cost'), 5, 'cost_per_hour');
    is(count(200, @r), 5, 'those are answered');

    my @told = grep { $_->{status} == 503 } @r;

    is(scalar @told, 7, 'the others are told');
    is(scalar(grep { $_->{headers}{'x-mark-reason'} ne 'timeout'
                     || !$_->{headers}{'retry-after'}
                     || $_->{time} > 6 } @told),
        0, 'at once, and why');

    $o = state('cost');
    is($o->{kept}{cost}, 7, 'kept: cost');
    is(join(' ', map { sprintf '%.9f', $_ } @$o{qw(spent spent_last_hour)}),
        '0.005000000 0.005000000', 'spent');

    # not armed, and none

    @r = burst('off', 3, 8000);
    is(count(503, @r), 3, 'armed=off');
    is(state('off')->{kept}{disarmed}, 3, 'kept: disarmed');
    is(state('off')->{armed}, JSON::PP::false, 'status');

    @r = burst('shed', 3, 8000);
    is(count(503, @r), 3, 'without overflow');
    is(scalar(grep { $_->{headers}{'x-mark-reason'} ne 'timeout'
                     || !$_->{headers}{'retry-after'}
                     || $_->{time} > 6 } @r), 0, 'told at once, too');
    is($t->location('/shed')->{overflow}, undef, 'null');
}


# --- plans ------------------------------------------------------------------

sub plans {
    block('plan');

    is(count(200, burst('plan', 2, 8000)), 2, 'a plan without overflow');

    plan_of('plan', overflow => { armed => JSON::PP::false });
    is(count(503, burst('plan', 2, 8000)), 2, 'disarmed');
    is(state('plan')->{kept}{disarmed}, 2, 'kept: disarmed');
    is(state('plan')->{armed}, JSON::PP::false, 'status: disarmed');

    plan_of('plan', overflow => { armed => JSON::PP::true,
                                  cost_per_hour => 0.003 });
    is(count(200, burst('plan', 3, 8000)), 1, 'limited to one more');
    is(state('plan')->{kept}{cost}, 2, 'kept: cost');
    is(state('plan')->{armed}, JSON::PP::true, 'status: armed');

    plan_of('plan', overflow => { armed => JSON::PP::true,
                                  concurrency => 0 });
    is(count(503, burst('plan', 1, 1000)), 1, 'no places');
    is(state('plan')->{kept}{concurrency}, 1, 'kept: concurrency');

    plan_of('plan', overflow => { armed => JSON::PP::true });
    is(count(200, burst('plan', 2, 8000)), 2, 'armed again');

    # time() of nginx has whole seconds

    plan_of('plan', expires => time + 1,
            overflow => { armed => JSON::PP::true });
    ok(wait_for(sub { !state('plan')->{armed} }), 'expires');
    is(count(503, burst('plan', 1, 8000)), 1, 'expired');

    # Once it is known how long it takes elsewhere, requests wait as long as
    # they can; but not for what does not come.

    block('batch');
    burst('batch', 4, 3000) for 1 .. 8;
    ok(wait_for(sub { state('batch')->{learned} }), 'batches: learned');

    my $n = received('batch');
    is(told(burst('batch', 4, 9000)), answers(4), 'they have company');
    is(received('batch') - $n, 1, 'one batch');

    plan_of('batch', overflow => { armed => JSON::PP::false });

    my @r = burst('batch', 1, 60000);
    is(count(503, @r), 1, 'of no use to wait');
    cmp_ok($r[0]{time}, '<', 30, 'told at once');

    # the directive's armed=off is what holds without a plan's word

    block('off');
    plan_of('off', overflow => { armed => JSON::PP::true });
    is(count(200, burst('off', 2, 8000)), 2, 'a plan arms');
}


# --- failures ---------------------------------------------------------------

sub failures {
    my %failures = (fail => 5, reset => 3, cut => 5, rows => 5);

    for my $name (sort keys %failures) {
        my $n = $failures{$name};

        block($name);

        my @r = burst($name, $n, 9000);
        is(told(@r), answers($n), "$name: tried at the pool");

        # a reset may be met twice

        is(scalar received($name), $n, "$name: and once elsewhere");

        my $o = state($name);
        is($o->{failed}, $n, "$name: failed");
        ok($t->wait_log(qr/overflow "\@other" of location "\/$name" fails/),
            "$name: left alone");

        # one at most is to see whether it is better

        @r = burst($name, 4, 900);
        cmp_ok(state($name)->{kept}{backoff}, '>=', 3,
            "$name: kept: backoff");
        cmp_ok(scalar received($name), '<=', $n + 1, "$name: at most a try");
    }

    is(sprintf('%.3f', state('fail')->{spent}),
        sprintf('%.3f', 0.001 * received('fail')), 'failures cost, too');

    # another body is nobody's answer, and does not end batches here

    block('body');
    is(told(burst('body', 1, 9000)), answers(1), 'another body');
    is(state('body')->{failed}, 1, 'another body: failed');
    unblock('body');
    is(told(burst('body', 1)), answers(1), 'and what follows');
    is($t->location('/body')->{passed}{replaced}, 0, 'is batched');

    # what only asks for patience

    for my $name (qw(busy later)) {
        block($name);

        my @r = burst($name, 1, 9000);
        is(told(@r), answers(1), "$name: tried at the pool");
        is(state($name)->{failed}, 0, "$name: no failure");

        burst($name, 3, 900);
        is(state($name)->{kept}{backoff}, 3, "$name: kept: backoff");
        is(scalar received($name), 1, "$name: not asked again");
    }

    # a member's fault is none of the location's

    block('refused');
    is(told(burst('refused', 6, 9000)), answers(6), '400: tried at the pool');
    is(state('refused')->{failed}, 0, '400: no failure');
    is(state('refused')->{kept}{backoff}, 0, '400: not left alone');
}


# --- too slow ---------------------------------------------------------------

sub slow {
    block('slow');

    is(told(burst('slow', 10, 9000)), answers(10), 'slow: learned');

    my @r = burst('slow', 3, 100);

    is(count(503, @r), 3, 'slow: not even tried');
    is(state('slow')->{kept}{slow}, 3, 'kept: slow');
    is(scalar received('slow'), 10, 'slow: so many were');
}


# --- a queue that is full ----------------------------------------------------

sub queue {
    block($_) for qw(full full_off);

    my $wait = fork_burst('full', 6);

    ok(wait_for(sub { received('full') == 4 }), 'over mark_max_queue_size');
    is(state('full')->{requests}{full}, 4, 'reason: full');
    is($t->location('/full')->{queued}, 2, 'as many wait as may');

    unblock('full');
    is($wait->(), 6, 'and all are answered');
    like($t->access_log, qr!^/full 200 <overflow> <full>$!m, 'log');

    my @r = burst('full_off', 5, undef, leave => 1);
    is(count(503, @r), 3, 'armed=off: rejected');
    is(scalar(grep { ($_->{headers}{'x-mark-reason'} || '') eq 'rejected' }
              @r), 3, 'as it was');
    cmp_ok(state('full_off')->{kept}{disarmed}, '>=', 1, 'kept: disarmed');
}


# A burst of another process; the function returns how many had their answers.

sub fork_burst {
    my ($name, $n, $slo) = @_;

    my $pid = open my $out, '-|';
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        # connections end when the test ends them
        close $_ for Test::Mark::HTTP::sockets();

        my @r = burst($name, $n, $slo);
        my $well = told(@r) eq answers($n) ? $n : told(@r);

        syswrite(STDOUT, $well);
        POSIX::_exit(0);
    }

    return sub {
        local ($/, $?);
        my $well = <$out>;
        close $out;
        return $well;
    };
}


# --- without a pool ----------------------------------------------------------

# It is learned that a request takes 300 ms.

sub plain {
    is(told(burst('plain', 1)), answers(1), 'plain: learned') for 1 .. 9;

    my @r = burst('plain', 8, 250);

    is(told(@r), answers(8), 'plain: answers');

    my $o = state('plain');
    cmp_ok($o->{batches}, '>=', 1, 'plain: overflows');
    is(scalar received('plain'), $o->{batches}, 'plain: each once');
}


# --- clients that leave ------------------------------------------------------

sub leaving {
    block('leave');

    burst('leave', 3, 9000, leave => 0.3);

    ok(wait_for(sub { received('leave') == 3 }), 'all were sent');
    ok(wait_for(sub { state('leave')->{in_flight} == 0 }),
        'and with their clients they end');

    my $o = state('leave');
    is($o->{failed}, 0, 'no failures');
    is(sprintf('%.3f', $o->{spent}), '0.003', 'they cost');
}


# --- functions ---------------------------------------------------------------

sub functions {
    block($_) for qw(lambda throttle);

    is(told(burst('lambda', 4, 9000)), answers(4), 'lambda: answers');

    # 1 GB for 42 ms, and the request

    my $each = 0.0000166667 * 0.042 + 0.0000002;

    is(sprintf('%.8f', state('lambda')->{spent}),
        sprintf('%.8f', 4 * $each), 'lambda: costs as reported');

    is(told(burst('throttle', 1, 9000)), answers(1),
        'throttled: tried at the pool');

    unblock('throttle');
    block('throttle');
    burst('throttle', 2, 1);

    my $o = state('throttle');
    is($o->{failed}, 0, 'throttled: no failure');
    is($o->{requests}{late}, 1, 'throttled: once');
    is($o->{spent}, 0, 'throttled: costs nothing');
}


# --- metrics -----------------------------------------------------------------

sub metrics {
    my $m = parse_metrics(http_get($p, '/metrics')->{body});
    my @wrong;

    for my $l (@{$t->status->{locations}}) {
        my $labels = qq(server="$l->{server}",location="$l->{location}");
        my $o = $l->{overflow};
        my $name = 'nginx_mark_overflow';

        if (!$o) {
            push @wrong, grep { /^${name}_\w+\{\Q$labels\E/ } keys %$m;
            next;
        }

        my %expected = (
            "${name}_armed{$labels}" => $o->{armed} ? 1 : 0,
            "${name}_batches_total{$labels}" => $o->{batches},
            "${name}_failed_total{$labels}" => $o->{failed},
            "${name}_cost_dollars_total{$labels}" => $o->{spent},
            "${name}_in_flight{$labels}" => $o->{in_flight},
            (map { (qq(${name}_requests_total{$labels,reason="$_"})
                    => $o->{requests}{$_}) } keys %{$o->{requests}}),
            (map { (qq(${name}_kept_total{$labels,reason="$_"})
                    => $o->{kept}{$_}) } keys %{$o->{kept}}),
        );

        push @wrong, grep { !defined $m->{$_} || $m->{$_} != $expected{$_} }
            keys %expected;
    }

    is("@wrong", '', 'Prometheus says the same');
}


# --- reload and the end -------------------------------------------------------

sub ends {
    start(2);
    block('reload');

    my $wait = fork_burst('reload', 3, 9000);

    ok(wait_for(sub { received('reload') == 3 }), 'reload: on their way');

    my @old = $t->workers;

    ok($t->reload, 'reload');
    is($wait->(), 3, 'reload: all are answered');
    is(sprintf('%.3f', state('reload')->{spent}), '0.003',
        'reload: the count goes on');

    unblock('reload');
    ok($t->wait_gone(@old), 'reload: old workers leave');

    block('reload');
    $wait = fork_burst('reload', 3, 9000);

    ok(wait_for(sub { received('reload') == 6 }), 'QUIT: on their way');
    $t->signal('QUIT');
    unblock('reload');
    is($wait->(), 3, 'QUIT: all are answered');
    ok($t->end, 'QUIT: and it leaves');
    $t->finish;
}


# --- kill -9 -----------------------------------------------------------------

sub dies {
    start(2, leak_check => 0);
    block('die');

    my $wait = fork_burst('die', 2, 9000);

    ok(wait_for(sub { received('die') == 2 }), 'two hang elsewhere');
    is(state('die')->{in_flight}, 2, 'in flight');

    $t->kill_worker($_) for $t->workers;
    isnt($wait->(), 2, 'workers are killed');

    my $o = state('die');
    is($o->{in_flight}, 0, 'their places are free');
    is(join(' ', map { sprintf '%.3f', $_ } @$o{qw(spent spent_last_hour)}),
        '0.002 0.002', 'and what was reserved is spent');

    (delete $blockers{die})->close;
    block('die');
    burst('die', 2, 9000, leave => 0.5);
    is(scalar received('die'), 4, 'others take them');

    finish();
}


# --- twice the capacity -------------------------------------------------------

# A batch of n takes 60 + 6n ms, so that of 8 rows 74 requests a second are
# served, and 150 are sent.  Half of them overflow; without it they are told.

sub saturated {
    my $load = $ENV{TEST_MARK_LOAD} || "$FindBin::Bin/../build/mark-load";
    my $soak = $ENV{TEST_MARK_SOAK};

    SKIP: {
        skip 'no mark-load', 1 unless -x $load;

        $t = Test::Mark->new(workers => 1, log_level => 'info');
        $p = $t->port(8080);

        $t->backend(8081, handler => sub {
            return { delay => 0.06 + 0.006 * @{$_[0]{rows}} };
        });

        $other = $t->backend(8082, delay => 0.09);

        $t->conf(<<'EOC')->run;
%%GLOBALS%%
events { worker_connections 1024; }
http {
    %%HTTP%%
    log_format l '$uri $status <$mark_reason> met=$mark_slo_met';
    access_log %%DIR%%/access.log l;
    upstream b {
        mark_balance slo;
        mark_server 127.0.0.1:%%PORT_8081%% concurrency=1;
        keepalive 8;
    }
    mark_slo 400ms;
    mark_max_batch_size 8;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location = /mark_status { mark_status; }
        location /with {
            mark_batch v1;
            mark_timeout_action overflow;
            mark_overflow @other cost_per_hour=10 request_cost=0.0001;
            proxy_pass http://b;
        }
        location /without {
            mark_batch v1;
            mark_timeout_action reject;
            proxy_pass http://b;
        }
        location @other { proxy_pass http://127.0.0.1:%%PORT_8082%%; }
    }
}
EOC

        my %met;

        for my $name (qw(with without)) {
            http_post($p, "/$name", body($_)) for 1 .. 12;

            my $from = length $t->access_log;
            my $command = join ' ', $load, '--rate 150 --duration',
                $soak ? 30 : 5, '--connections 200 --expect-status 200,503',
                q(--body '{"instances": [%u]}'),
                q(--expect '{"predictions": [%u]}'),
                "http://127.0.0.1:$p/$name";
            my $said = `$command 2>&1`;

            is($? >> 8, 0, "$name: right answers") or diag($said);

            my @lines = grep { m!^/$name! }
                split /\n/, substr $t->access_log, $from;
            my $met = grep { /met=1/ } @lines;

            $met{$name} = $met / @lines;
            diag(sprintf '%s: %.3f of %d within the deadline', $name,
                 $met{$name}, scalar @lines);

            # each is answered well, or told

            is(scalar(grep { !/ 200 | 503 <timeout>/ } @lines), 0,
                "$name: nothing else");
        }

        my $o = state('with');

        cmp_ok($met{with}, '>', $soak ? 0.98 : 0.6, 'with overflow');
        cmp_ok($met{without}, '>', $soak ? 0.4 : 0.1, 'without');
        is(scalar received('with'), $o->{batches}, 'batches elsewhere');
        cmp_ok($o->{requests}{late}, '>', $o->{batches},
            'of more than one request');
        is(sprintf('%.4f', $o->{spent}), sprintf('%.4f',
            0.0001 * received('with')), 'and what they cost');

        $t->finish;
    }
}


# --- nginx -t ----------------------------------------------------------------

sub conf {
    my $conf = Test::Mark->new(leak_check => 0);

    for (
        [ 'mark_overflow @none;', qr/"mark_overflow \@none": this server has/ ],
        [ 'mark_overflow @empty;', qr/has no "mark_lambda", "proxy_pass"/ ],
        [ 'mark_overflow other;', qr/invalid location "other"/ ],
        [ 'mark_overflow @;', qr/invalid location "@"/ ],
        [ 'mark_overflow;', qr/invalid number of arguments/ ],
        [ 'mark_overflow @o; mark_overflow @o;', qr/is duplicate/ ],
        (map { [ "mark_overflow \@o $_;", qr/invalid parameter "\Q$_\E"/ ] }
            qw(rate=1 concurrency concurrency= concurrency=-1 concurrency=many
               cost_per_hour=1e999 cost_per_hour=inf cost_per_hour=nan
               cost_per_hour=0x1 request_cost=2000000 requests_per_second=1/s
               armed= armed=yes)),
        [ 'mark_timeout_action overflow;',
          qr/"mark_timeout_action overflow" needs "mark_overflow"/ ],
        [ 'mark_timeout_action never;', qr/invalid value "never"/ ],
        [ 'mark_overflow @o requests_per_second=0.5 concurrency=0 armed=off '
          . 'cost_per_hour=.5 request_cost=0; mark_timeout_action overflow;',
          qr/test is successful/ ],
        [ 'mark_overflow @o; location /a/b { proxy_pass http://127.0.0.1:1; '
          . 'mark_timeout_action overflow; }', qr/test is successful/ ],
    ) {
        my ($line, $regex) = @$_;
        my ($status, $said) = $conf->test_conf(<<"EOC");
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location \@o { proxy_pass http://127.0.0.1:1; }
        location \@empty { }
        location /a { mark_batch v1; proxy_pass http://127.0.0.1:1; $line }
    }
}
EOC
        like($said, $regex, $line);
    }
}
