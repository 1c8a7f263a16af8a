#!/usr/bin/perl

# A pool that several workers share: what a server takes at one time, what
# stays of it over reloads, and what becomes of what a dead worker had.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::Mark;
use Test::Mark::HTTP;

use constant WORKERS => 4;

my $t = Test::Mark->new(workers => WORKERS, log_level => 'info');

my $delay = 0.1;

my $handler = sub {
    my ($req) = @_;

    return { delay => 120 } if $req->{uri} =~ /hang/;
    return { delay => $delay };
};

my $one = $t->backend(8081, handler => $handler);
my $two = $t->backend(8082, handler => $handler);
my $three = $t->backend(8083, handler => $handler);

my $conf = <<'EOC';
%%GLOBALS%%
events { worker_connections 1024; }
http {
    %%HTTP%%
    mark_share SHARE;

    upstream told {
        mark_balance slo SLOTS;
        mark_server 127.0.0.1:%%PORT_8081%% concurrency=2;
        SECOND
    }

    upstream gated {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8081%%;
        server 127.0.0.1:%%PORT_8082%%;
        mark_max_concurrent_batches 2;
        keepalive 8;
    }

    upstream single {
        mark_balance slo;
        mark_server 127.0.0.1:%%PORT_8083%% concurrency=1;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%% reuseport;
        mark_max_batch_size 2;

        location /told { mark_batch v1; proxy_pass http://told; }
        location /plain { proxy_pass http://told; }
        location /gated { mark_batch v1; proxy_pass http://gated; }
        location /single { mark_batch v1; proxy_pass http://single; }
        location = /pid { return 200 $pid; }
        location = /mark_status { mark_status; }
    }
}
EOC

my $p = $t->port(8080);
my $second = 'mark_server 127.0.0.1:%%PORT_8082%% concurrency=1;';
my (@r, $s, $before, @old);

for my $share (qw(on off)) {
    $t->conf(with($conf, $share, $second, ''));
    $t->{pid} ? ok($t->reload, "share $share: reload") : $t->run;

    # Never more at one time than its concurrency: as a request is answered
    # no sooner than after the delay, those that came within one are at the
    # server together.

    for (['told', 2, 1], ['gated', 2, 2]) {
        my ($name, @most) = @$_;

        $_->clear for $one, $two;
        @r = many("/$name", 120);
        is(statuses(@r), 'all 200', "$name, share $share: answered");
        cmp_ok(together($one), '<=', $most[0], "$name, share $share: the one");
        cmp_ok(together($two), '<=', $most[1], "$name, share $share: another");
        cmp_ok(scalar($two->requests), '>', 0, "$name, share $share: both");
        is(join(' ', map { $_->{in_flight} } servers($name)), '0 0',
            "$name, share $share: nothing left");
    }
}

# A worker dies with what is in flight: nobody waits for that.

for my $share (qw(on off)) {
    ok($t->reload(with($conf, $share, $second, '')), "crash, $share: reload");
    wait_for(sub { $t->workers(all => 1) == WORKERS });

    $three->clear;
    my ($c, $pid) = client();
    $c->send(method => 'POST', uri => '/single/hang',
             body => '{"instances": [1]}');
    $three->wait_requests(1);
    is((servers('single'))[0]{in_flight}, 1, "crash, $share: in flight");

    ok($t->kill_worker($pid), "crash, $share: a worker dies");
    ok(wait_for(sub { (servers('single'))[0]{in_flight} == 0 }),
        "crash, $share: what it had is buried");
    is(http_post($p, '/single', '{"instances": [2]}')->{status}, 200,
        "crash, $share: the server is free");
}

# What the living have is not, however often it is looked for the dead.

my (%client, $pid, $c);

until (keys %client == WORKERS) {
    ($c, $pid) = client();
    $client{$pid} ||= $c;
}

$_->send(method => 'POST', uri => '/plain/hang', body => '{"instances": [1]}')
    for values %client;
ok(wait_for(sub { in_flight('told') == WORKERS }), 'living: in flight');
sleep 3;
is(in_flight('told'), WORKERS, 'living: still');
$_->close for values %client;
ok(wait_for(sub { in_flight('told') == 0 }), 'living: no more');

# One of before a reload dies, whose place nobody takes.

$three->clear;
($c, $pid) = client();
$c->send(method => 'POST', uri => '/single/hang', body => '{"instances": [1]}');
$three->wait_requests(1);
ok($t->reload, 'old: reload');

push @{$t->{allowed}}, qr/worker process $pid exited on signal/;
$t->signal('KILL', $pid);
ok($t->wait_gone($pid), 'old: dies');
is(http_request($p, method => 'POST', uri => '/single', timeout => 10,
                body => '{"instances": [2]}')->{status},
    200, 'old: the server is free');
is((servers('single'))[0]{in_flight}, 0, 'old: nothing left');

# Reloads keep what was learned, and lose nothing.

many('/told', 40);
$before = (servers('told'))[0];
ok(@{$before->{learned}}, 'reload: something is learned');
ok($t->reload, 'reload');
$s = (servers('told'))[0];
is($s->{requests}, $before->{requests}, 'reload: counts go on');
is_deeply($s->{learned}, $before->{learned}, 'reload: nothing is forgotten');

under_load('reload', sub { ok($t->reload, 'reload: under load') for 1 .. 3 });

# A server leaves, under load: what it has is answered, and it is gone.

under_load('removed', sub {
    ok($t->reload(with($conf, 'on', '', '')), 'removed: reload');
});
ok(wait_for(sub { servers('told') == 1 }), 'removed: it is gone');
$two->clear;
many('/told', 10);
is(scalar(() = $two->requests), 0, 'removed: it has nothing more');

# One that hangs there is drained for as long as it takes.

ok($t->reload(with($conf, 'on', $second, '')), 'drained: back again');
$_->clear for $one, $two;
my @c = map { (client())[0] } 1 .. 3;
$_->send(method => 'POST', uri => '/plain/hang', body => '{"instances": [1]}')
    for @c;
ok(wait_for(sub { $one->requests && $two->requests
                  && $one->requests + $two->requests == 3 }),
    'drained: both have something');
@old = $t->workers;
ok($t->reload(with($conf, 'on', '', '')), 'drained: reload');
is(join(' ', map { $_->{state} } servers('told')), 'ready draining',
    'drained: its state');
$two->clear;
is(statuses(many('/plain', 4)), 'all 200', 'drained: the other one serves');
is(scalar(() = $two->requests), 0, 'drained: nothing more goes there');
$_->close for @c;
ok($t->wait_gone(@old), 'drained: the old workers leave');
ok(wait_for(sub { servers('told') == 1 }), 'drained: gone');

# The worker dies for which it was drained.

ok($t->reload(with($conf, 'on', $second, '')), 'buried: back again');
$_->clear for $one, $two;
@c = map { (client())[0] } 1 .. 3;
$_->send(method => 'POST', uri => '/plain/hang', body => '{"instances": [1]}')
    for @c;
wait_for(sub { $one->requests + $two->requests == 3 });
@old = $t->workers;
ok($t->reload(with($conf, 'on', '', '')), 'buried: reload');
push @{$t->{allowed}}, map { qr/worker process $_ exited on signal/ } @old;
$t->signal('KILL', $_) for @old;
ok($t->wait_gone(@old), 'buried: the old workers die');
$t->kill_worker;
ok(wait_for(sub { servers('told') == 1 }), 'buried: gone');
is((servers('told'))[0]{in_flight}, 0, 'buried: nothing left');

# More slots, or fewer.

for my $slots (100, 3) {
    under_load("slots=$slots", sub {
        ok($t->reload(with($conf, 'on', $second, "slots=$slots")),
            "slots=$slots: reload");
    });
    is(pool('told')->{slots}, $slots, "slots=$slots: as many");
}

# All servers are others, and there is no room for them beside the old ones.

ok($t->reload(with($conf, 'on', $second, 'slots=2')), 'full: reload');
$_->clear for $one, $two;
@c = map { (client())[0] } 1 .. 3;
$_->send(method => 'POST', uri => '/plain/hang', body => '{"instances": [1]}')
    for @c;
wait_for(sub { $one->requests + $two->requests == 3 });

(my $moved = with($conf, 'on', '', 'slots=2'))
    =~ s/PORT_8081%% concurrency=2/PORT_8083%% concurrency=2/;
@old = $t->workers;
ok($t->reload($moved), 'full: reload with another server');
is(statuses(many('/plain', 4)), 'all 200', 'full: the old ones serve');
ok($t->wait_log(qr/1 servers of upstream "told" have no room/), 'full: told');
$_->close for @c;
ok($t->wait_gone(@old), 'full: the old workers leave');
$three->clear;
ok(wait_for(sub { servers('told') == 1 }), 'full: the old ones leave');
is(statuses(many('/told', 4)), 'all 200', 'full: answered');
cmp_ok(scalar($three->requests), '>', 0, 'full: by the new one');

$t->finish;

# One process for all.

$t = Test::Mark->new(workers => 0, log_level => 'info');
$one = $t->backend(8081);
$two = $t->backend(8082);
$p = $t->port(8080);

$t->conf(with($conf, 'on', $second, ''))->run;
is(statuses(many('/told', 20)), 'all 200', 'single: answered');
is(in_flight('told'), 0, 'single: nothing left');

done_testing;


sub with {
    my ($text, $share, $second, $slots) = @_;

    $text =~ s/SHARE/$share/;
    $text =~ s/SECOND/$second/;
    $text =~ s/SLOTS/$slots/;

    return $text;
}


sub many {
    my ($uri, $n) = @_;

    return http_many([map { { uri => $uri, body => "{\"instances\": [$_]}" } }
                      1 .. $n], port => $p, concurrency => 24);
}


# requests go on while something happens

sub under_load {
    my ($name, $what) = @_;

    my $pid = open my $out, '-|';
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        my @r = map { many('/told', 60) } 1 .. 2;
        print statuses(@r);
        close STDOUT;
        POSIX::_exit(0);
    }

    $what->();

    my $said = <$out>;
    close $out;

    is($said, 'all 200', "$name: all are answered");
    ok(wait_for(sub { !grep { $_->{in_flight} } servers('told') }),
        "$name: nothing left");
}


# the most that were with a backend at one time

sub together {
    my ($backend) = @_;

    my @at = sort { $a <=> $b } map { $_->{time} } $backend->requests;
    my $most = 0;

    for my $i (0 .. $#at) {
        my $n = grep { $_ > $at[$i] - $delay && $_ <= $at[$i] } @at;
        $most = $n if $n > $most;
    }

    return $most;
}


# a connection, and the worker at its other end

sub client {
    my $c = Test::Mark::HTTP->new($p);

    $c->send(uri => '/pid');

    return ($c, $c->response->{body});
}


sub statuses {
    my %seen = map { $_->{status} => 1 } @_;

    return 'all ' . join(' ', sort keys %seen);
}


sub in_flight {
    my $n = 0;

    $n += $_->{in_flight} for servers($_[0]);

    return $n;
}


sub pool {
    my ($name) = @_;

    return (grep { $_->{upstream} eq $name } @{$t->status->{pools}})[0];
}


sub servers { @{pool($_[0])->{servers}} }
