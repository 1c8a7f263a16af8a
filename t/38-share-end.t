#!/usr/bin/perl

# Shared queues and the ends of workers: reloads under load, the graceful end
# and the quick one, worker_shutdown_timeout.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use POSIX ();
use Test::Mark;
use Test::Mark::HTTP;
use Time::HiRes qw(sleep);

use constant WORKERS => 4;

my $load = $ENV{TEST_MARK_LOAD} || "$FindBin::Bin/../build/mark-load";
my $reloads = $ENV{TEST_MARK_SOAK} ? 40 : 6;

my $t = nginx();

plan(skip_all => 'no module') unless $t->has_module;

my ($gate, $b, $p, @c, @r, %before);

# Old and new workers share with their likes only; the old ones answer all
# that they have.

start();
unlink $gate;
@c = spread(3);

# two batches of four: one is with the backend, and holds it up

send_to([ @c[0 .. 7] ], '/gate', 1 .. 8);
ok($t->reached('/gate', queued => 0, in_flight => 1), 'HUP: riding');
send_to([ @c[8 .. 10] ], '/full', 11 .. 13);
ok($t->reached('/full', queued => 3), 'HUP: waiting');

%before = map { $_ => 1 } $t->workers;
ok($t->reload, 'HUP');
is($t->status->{shared}{cells}, 0, 'HUP: the new ones begin with nothing');

my @old = @c;

@c = spread(2);
send_to([ @c[0 .. 4] ], '/full', 21 .. 25);
ok(wait_for(sub { $t->status->{shared}{cells} == 5 }), 'HUP: new ones wait');
$t->write_file('gate', '');
@r = map { $_->response } @old[0 .. 7];
answers('HUP: riding', \@r, 1 .. 8);
@r = map { $_->response } @old[8 .. 10];
answers('HUP: waiting', \@r, 11 .. 13);
is(scalar(grep { $_->{headers}{connection} eq 'close' } @r), 3,
    'HUP: which is their last');
$_->close for @old;
ok($t->wait_gone(keys %before), 'HUP: old workers leave');
is($t->location('/full')->{queued}, 5, 'HUP: the new ones wait on');
send_to([ @c[5 .. 7] ], '/full', 26 .. 28);
@r = map { $_->response } @c;
answers('HUP: new ones', \@r, 21 .. 28);

is(scalar(grep { $_->{uri} eq '/full' && @{$_->{rows}} == 8 } $b->requests),
    1, 'HUP: in a batch of their own');

# Reloads while all are busy.

SKIP: {
    skip 'no mark-load', 1 unless -x $load;

    my $dir = $t->dir;
    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDOUT, '>', "$dir/load.said";
        open STDERR, '>&', \*STDOUT;
        exec($load, '--json', "$dir/load.json", '--duration',
             1 + $reloads * 0.6, '--concurrency', 64, '--timeout', 30,
             '--spread', '--body', '{"instances": [[%u, "a]%u"]]}',
             '--expect', '{"predictions": [[%u, "a]%u"]]}',
             "http://127.0.0.1:$p/auto")
            or POSIX::_exit(3);
    }

    for (1 .. $reloads) {
        sleep 0.3;
        $t->reload or fail('a reload');
    }

    waitpid $pid, 0;

    my $report = JSON::PP->new->decode($t->read_file('load.json'));

    is($report->{wrong}, 0, 'reloads: no wrong answer');
    is($report->{errors}{timeout}, 0, 'reloads: none is lost');
    is($report->{errors}{status}, 0, 'reloads: none is an error');
    cmp_ok($report->{ok}, '>', 100, "reloads: $report->{ok} right ones");

    # what was in a socket that closed had not been accepted by anybody

    my $e = $report->{errors};
    diag("connections refused or closed: $e->{total}") if $e->{total};
    is($e->{total} - $e->{reset} - $e->{closed} - $e->{connect}, 0,
        'reloads: no other error');
}

# QUIT: what waits leaves at once, what rides is waited for.

@c = spread(3);
unlink $gate;
send_to([ @c[0 .. 7] ], '/gate', 1 .. 8);
ok($t->reached('/gate', queued => 0, in_flight => 1), 'QUIT: riding');
send_to([ @c[8 .. 10] ], '/full', 11 .. 13);
ok($t->reached('/full', queued => 3), 'QUIT: waiting');

$t->signal('QUIT');
ok(wait_for(sub { !$t->workers }), 'QUIT: all are shutting down');
$t->write_file('gate', '');
@r = map { $_->response } @c[0 .. 10];
answers('QUIT', \@r, 1 .. 8, 11 .. 13);
$_->close for @c;
ok($t->end(0), 'QUIT: gone');
$t->finish;

# TERM: nobody waits for anything, nobody stays.

$t = nginx();
start();
@c = spread(3);
unlink $gate;
send_to([ @c[0 .. 7] ], '/gate', 1 .. 8);
ok($t->reached('/gate', queued => 0, in_flight => 1), 'TERM: riding');
send_to([ @c[8 .. 10] ], '/full', 11 .. 13);
ok($t->reached('/full', queued => 3), 'TERM: waiting');
ok($t->term, 'TERM: gone');
is(scalar(grep { $_->closed(5) } @c[0 .. 10]), 11, 'TERM: and all clients');
$t->finish;

# worker_shutdown_timeout: nginx closes what is left.

$t = nginx(globals => "worker_shutdown_timeout 1s;\n");
start();
@c = spread(3);
unlink $gate;
send_to([ @c[0 .. 7] ], '/gate', 1 .. 8);
ok($t->reached('/gate', queued => 0, in_flight => 1), 'timeout: riding');

my @workers = $t->workers;

ok($t->reload, 'timeout: reload');
ok($t->wait_gone(@workers), 'timeout: the old workers leave all the same');
$t->write_file('gate', '');
@r = map { $_->response } @c[0 .. 7];
is(scalar(grep { $_->{status} == 200 } @r), 0, 'timeout: without answers');
$t->allow(qr/open socket #\d+ left|aborting/);

done_testing();


sub nginx {
    return Test::Mark->new(workers => WORKERS, log_level => 'info', @_);
}


sub start {
    $gate = $t->write_file('gate', '');
    $p = $t->port(8080);

    $b = $t->backend(8081, handler => sub {
        my ($req) = @_;

        if ($req->{uri} eq '/gate') {
            for (1 .. 2000) {
                last if -e $gate;
                select undef, undef, undef, 0.01;
            }
        }

        return { delay => 0.005 } if $req->{uri} eq '/auto';
        return;
    });

    $t->conf(<<'EOC')->run;
%%GLOBALS%%
worker_rlimit_nofile 8192;
events { worker_connections 2048; }
http {
    %%HTTP%%
    keepalive_requests 1000000;

    upstream b { server 127.0.0.1:%%PORT_8081%% max_fails=0; keepalive 16; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    mark_max_batch_size 8;
    mark_max_queue_delay 60s;

    server {
        listen 127.0.0.1:%%PORT_8080%% reuseport;
        location = /pid { return 200 $pid; }
        location = /mark_status { access_log off; mark_status; }
        location /full { mark_batch v1; proxy_pass http://b; }
        location /gate { mark_batch v1; proxy_pass http://b; }
        location /auto { access_log off; mark_batch v1;
                         mark_max_batch_size 32; mark_max_queue_delay auto;
                         proxy_pass http://b; }
    }
}
EOC
}


# n connections to each worker, in turn; those that are not needed are closed

sub spread {
    my ($n) = @_;

    my %of;
    my @workers = $t->workers;

    until (@workers == grep { @{$of{$_} || []} >= $n } @workers) {
        my $c = Test::Mark::HTTP->new($p) or next;
        my $r = $c->get('/pid');

        push @{$of{$r->{body}}}, $c if $r->{status} == 200;
    }

    return map { my $i = $_; map { $of{$_}[$i] } @workers } 0 .. $n - 1;
}


sub send_to {
    my ($connections, $uri, @rows) = @_;

    for my $i (0 .. $#rows) {
        $connections->[$i]->send(method => 'POST', uri => $uri,
                                 body => qq({"instances": [$rows[$i]]}));
    }
}


sub answers {
    my ($name, $r, @rows) = @_;

    my @wrong = grep {
        $r->[$_]{status} != 200
            || $r->[$_]{body} ne qq({"predictions": [$rows[$_]]})
    } 0 .. $#rows;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(scalar @wrong, 0, "$name: each has its answer")
        or diag(map { "$_: $r->[$_]{status} $r->[$_]{body} "
                      . ($r->[$_]{error} || '') . "\n" } @wrong);
}
