#!/usr/bin/perl

# Clients that leave: while they wait, while their batch is with the backend,
# while they wait for another try.  Those who stay get what is theirs.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::HTTP;

my $t = Test::Mark->new;
my $gate = $t->dir . '/gate';

# a batch to /poison is refused, and its members wait for the gate

my $b = $t->backend(8081, handler => sub {
    my ($req) = @_;

    return unless $req->{uri} =~ m!^/poison!;

    # not to be split, so that all go alone at once
    return { headers => { 'Set-Cookie' => 'a=b' } } if @{$req->{rows}} > 1;

    for (1 .. 2000) {
        last if -e $gate;
        select undef, undef, undef, 0.01;
    }

    return;
});

# batches leave when they are full, so that no test depends on time

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    log_format marks '$uri $status $mark_batch_size $mark_reason '
                     '$upstream_status';
    access_log %%DIR%%/access.log marks;

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 8;
    }

    client_max_body_size 8m;
    client_body_buffer_size 4m;

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%% sndbuf=32k;

        mark_max_queue_delay 30s;
        mark_max_batch_size 4;

        location / {
            mark_batch v1;
            proxy_pass http://b;
        }

        location /poison {
            mark_batch v1;
            mark_max_batch_size 8;
            proxy_pass http://b;
        }

        location /timer {
            mark_batch v1;
            mark_max_queue_delay 100ms;
            proxy_pass http://b;
        }

        location /big {
            mark_batch v1;
            mark_max_batch_size 3;
            proxy_pass http://b;
        }

        location = /mark_status {
            mark_status;
        }
    }
}
EOC

my $p = $t->port(8080);

# While they wait.

waiting('first', 'close', 0);
waiting('middle', 'close', 1);
waiting('last', 'close', 2);
waiting('all', 'close', 0, 1, 2);
waiting('first-reset', 'reset', 0);
waiting('middle-reset', 'reset', 1);
waiting('two-reset', 'reset', 0, 2);
waiting('half', 'half', 1);
waiting('first-half', 'half', 0);

# While their batch is with the backend.

in_flight('leader', 'close', 0);
in_flight('another', 'close', 2);
in_flight('last', 'close', 3);
in_flight('two', 'close', 0, 2);
in_flight('leader-reset', 'reset', 0);
in_flight('another-reset', 'reset', 1);
in_flight('half', 'half', 0, 3);
in_flight('all', 'close', 0 .. 3);
in_flight('all-reset', 'reset', 0 .. 3);

# A batch of one is with the backend as stock nginx would have it.

{
    my $before = $t->location('/timer');

    $b->clear;
    $b->freeze;
    my $c = client('/timer/one', 1);
    ok($t->reached('/timer', in_flight => 1), 'alone: in flight');
    $c->close;
    ok($t->reached('/timer', aborted => $before->{aborted} + 1),
        'alone: aborted');
    ok($t->reached('/timer', in_flight => 0), 'alone: over at once');
    $b->resume;
    ok(logged('/timer/one', 499, 1), 'alone: logged');
}

# While they wait for another try: four at a time go.

{
    my $before = $t->location('/poison');
    my @clients = map { client('/poison', $_) } 1 .. 8;

    ok($t->reached('/poison', retries => $before->{retries} + 4), 'retries');
    is($t->location('/poison')->{queued}, 4, 'retries: the others wait');

    $clients[4]->close;
    ok($t->reached('/poison', queued => 3), 'retries: first waiting left');
    $clients[7]->reset;
    ok($t->reached('/poison', queued => 2), 'retries: last waiting left');
    $clients[6]->shutdown_write;
    ok($t->reached('/poison', queued => 1), 'retries: middle waiting left');

    $clients[1]->close;
    ok($t->reached('/poison', queued => 0), 'retries: the next for who left');
    is($t->location('/poison')->{retries} - $before->{retries}, 5,
        'five tries');

    $t->write_file('gate', '');

    answers('retries', map { [$clients[$_], $_ + 1] } 0, 2, 3, 5);
    is($t->location('/poison')->{aborted} - $before->{aborted}, 4,
        'retries: four aborted');
    ok(logged('/poison', 499, 4), 'retries: logged');
    ok($t->reached('/poison', in_flight => 0), 'retries: nothing left');
}

# All of them leave while they wait for another try.

{
    unlink $gate;

    my $before = $t->location('/poison');
    my @clients = map { client('/poison/all', $_) } 1 .. 8;

    ok($t->reached('/poison', retries => $before->{retries} + 4),
        'all: retries');
    $_->close for reverse @clients;
    ok($t->reached('/poison', aborted => $before->{aborted} + 8),
        'all: aborted');
    ok($t->reached('/poison', queued => 0, in_flight => 0),
        'all: nothing left');

    $t->write_file('gate', '');
    answers('all: next', map { [client('/', $_), $_] } 1 .. 4);
}

# One who leaves before his whole body is there was never in a queue.

{
    my $before = $t->location('/');
    my $c = Test::Mark::HTTP->new($p);

    $c->write("POST /early HTTP/1.1\r\nHost: localhost\r\n"
              . "Content-Type: application/json\r\nContent-Length: 18\r\n\r\n"
              . '{"instances"');
    ok($t->wait_log(qr/client request body/), 'early: body');
    $c->close;
    ok(logged('/early', 400, 1), 'early: logged');

    my $after = $t->location('/');
    is($after->{$_}, $before->{$_}, "early: $_") for qw(requests aborted);
}

# The only one leaves, and the timer finds nobody.

{
    my $before = $t->location('/timer');

    $b->clear;
    my $c = client('/timer/gone', 1);
    ok($t->reached('/timer', queued => 1), 'timer: queued');
    $c->close;
    ok($t->reached('/timer', aborted => $before->{aborted} + 1), 'timer: left');

    # the same queue, from an empty state
    my @clients = map { client('/timer/gone', $_) } 2, 3;
    answers('timer', [$clients[0], 2], [$clients[1], 3]);
    is(join(' ', map { "@{$_->{rows}}" } $b->requests), '2 3',
        'timer: one batch, without who left');
}

# One who sends more than was asked has not left.

{
    my $c = Test::Mark::HTTP->new($p);

    $c->send(uri => '/pipeline', body => '{"instances": [1]}');
    ok($t->reached('/', queued => 1), 'pipeline: queued');
    $c->send(uri => '/pipeline', body => '{"instances": [2]}');

    my @clients = map { client('/pipeline', $_) } 3 .. 5;
    answers('pipeline: first', [$c, 1],
            map { [$clients[$_ - 3], $_] } 3 .. 5);
    ok($t->reached('/', queued => 1), 'pipeline: second queued');

    @clients = map { client('/pipeline', $_) } 6 .. 8;
    answers('pipeline: second', [$c, 2],
            map { [$clients[$_ - 6], $_] } 6 .. 8);
}

# One who leaves amid his own, large answer.

{
    my $before = $t->location('/big');
    my $row = '"' . 'x' x 3000000 . '"';
    my $slow = Test::Mark::HTTP->new($p, rcvbuf => 4096);

    $slow->send(uri => '/big', body => qq({"instances": [$row]}));
    ok($t->reached('/big', queued => 1), 'big: queued');

    my @clients = map { client('/big', $_) } 2, 3;
    answers('big', [$clients[0], 2], [$clients[1], 3]);
    ok($t->reached('/big', in_flight => 0), 'big: the backend is free');
    ok(!logged_now('/big', 200, 3), 'big: not yet over');

    $slow->reset;
    ok(logged('/big', 200, 3), 'big: logged as answered');
    is($t->location('/big')->{aborted}, $before->{aborted}, 'big: not aborted');
}

done_testing;


# three wait, some of them leave, others come until the batch is full

sub waiting {
    my ($name, $how, @leave) = @_;

    my $uri = "/waiting/$name";
    my $before = $t->location('/');
    my %left = map { $_ => 1 } @leave;

    $b->clear;

    my @clients;

    for my $n (0 .. 2) {
        push @clients, client($uri, $n);
        $t->reached('/', queued => $n + 1);
    }

    is($t->location('/')->{queued}, 3, "$name: queued");

    leave($how, $clients[$_]) for @leave;

    ok($t->reached('/', aborted => $before->{aborted} + @leave),
        "$name: aborted");
    is($t->location('/')->{queued}, 3 - @leave, "$name: out of the queue");

    push @clients, client($uri, $_) for 3 .. 3 + @leave;

    my @stay = grep { !$left{$_} } 0 .. $#clients;

    answers($name, map { [$clients[$_], $_] } @stay);
    gone($name, $how, @clients[@leave]);

    is(join('|', map { join ' ', sort @{$_->{rows}} } $b->requests), "@stay",
        "$name: one batch");
    ok(logged($uri, 499, scalar @leave), "$name: logged");
    over($name);
}


# four are in flight, some of them leave

sub in_flight {
    my ($name, $how, @leave) = @_;

    my $uri = "/flying/$name";
    my $before = $t->location('/');
    my %left = map { $_ => 1 } @leave;

    $b->clear;
    $b->freeze;

    my @clients;

    for my $n (0 .. 3) {
        push @clients, client($uri, $n);
        $t->reached('/', queued => $n + 1) if $n < 3;
    }

    ok($t->reached('/', in_flight => 1), "$name: in flight");

    leave($how, $clients[$_]) for @leave;

    my $aborted = $t->reached('/', aborted => $before->{aborted} + @leave);
    $b->resume;

    ok($aborted, "in flight: $name: aborted");
    answers("in flight: $name",
            map { [$clients[$_], $_] } grep { !$left{$_} } 0 .. 3);
    gone("in flight: $name", $how, @clients[@leave]);

    is(join('|', map { "@{$_->{rows}}" } $b->wait_requests(1)), '0 1 2 3',
        "in flight: $name: one batch");
    ok(logged($uri, 499, scalar @leave), "in flight: $name: logged");
    over("in flight: $name");
}


sub client {
    my ($uri, $row) = @_;

    my $c = Test::Mark::HTTP->new($p);
    $c->send(uri => $uri, body => qq({"instances": [$row]}));

    return $c;
}


sub leave {
    my ($how, $c) = @_;

    $how eq 'reset' ? $c->reset
        : $how eq 'half' ? $c->shutdown_write : $c->close;
}


# each client has the answer to its own row

sub answers {
    my ($name, @expected) = @_;

    my @got = map { $_->[0]->response } @expected;

    is(join(' ', map { "$_->{status} $_->{body}" } @got),
        join(' ', map { qq(200 {"predictions": [$_->[1]]}) } @expected),
        "$name: answers");
}


# those who can still hear hear nothing

sub gone {
    my ($name, $how, @clients) = @_;

    return if $how ne 'half';

    is(join('', map { $_->read_all } @clients), '', "$name: no answer");
}


sub logged_now {
    my ($uri, $status, $n) = @_;

    my @lines = $t->access_log =~ /^\Q$uri\E $status /mg;
    return @lines == $n;
}


sub logged {
    my @line = @_;

    return wait_for(sub { logged_now(@line) });
}


# all carriers are back, and nothing waits

sub over {
    my ($name) = @_;

    my $status;

    ok(wait_for(sub {
        $status = $t->status;
        return $status->{queued} == 0 && $status->{in_flight} == 0
               && $status->{carriers}{created} == $status->{carriers}{freed};
    }), "$name: nothing left");
}
