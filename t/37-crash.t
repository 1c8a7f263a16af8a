#!/usr/bin/perl

# Workers that die or stand still while they have a part in the queues that
# all share: nobody else loses anything, and nothing of theirs stays.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Config ();
use JSON::PP ();
use POSIX ();
use Test::Mark;
use Test::Mark::HTTP;
use Time::HiRes qw(sleep);

use constant WORKERS => 4;

my $load = $ENV{TEST_MARK_LOAD} || "$FindBin::Bin/../build/mark-load";
my $kills = $ENV{TEST_MARK_SOAK} ? 200 : 20;
my $json = JSON::PP->new->canonical;

my $t = nginx();

plan(skip_all => 'no module') unless $t->has_module;

my ($gate, $p, @c, @r, $s, $left);

# A worker dies whose clients wait: the others go on waiting.

start();
@c = spread(1);
send_to(\@c, '/full', 1 .. 4);
ok($t->reached('/full', queued => 4), 'waiting');
is($t->status->{shared}{cells}, 4, 'waiting: in cells');

killed($c[1]);
ok($c[1]->closed(5), 'waiting: its own client is gone');
ok($t->reached('/full', queued => 3), 'waiting: the others are not');
is($t->status->{shared}{cells}, 3, 'waiting: nothing of it stays');

my @more = spread(2);
send_to(\@more, '/full', 11 .. 15);
@r = map { $_->response } @c[0, 2, 3], @more[0 .. 4];
answers('waiting', \@r, 1, 3, 4, 11 .. 15);
idle('waiting');

# A worker dies that has a batch with the backend: the members from other
# workers are tried again.

@c = spread(2);
unlink $gate;
send_to([ @c[0 .. 6] ], '/gate', 1 .. 7);
ok($t->reached('/gate', queued => 7), 'taken: waiting');
send_to([ $c[7] ], '/gate', 8);
ok($t->reached('/gate', queued => 0, in_flight => 1), 'taken: in flight');

killed($c[7]);
$t->write_file('gate', '');
@r = map { $_->response } @c[0 .. 2, 4 .. 6];
answers('taken', \@r, 1 .. 3, 5 .. 7);
is($t->location('/gate')->{retries}, 6, 'taken: tried again, alone');
ok($c[3]->closed(5) && $c[7]->closed(5), 'taken: its own are gone');
idle('taken');

# A worker dies whose clients ride in another one's batch.

@c = spread(2);
unlink $gate;
send_to([ @c[0 .. 6] ], '/gate', 1 .. 7);
ok($t->reached('/gate', queued => 7), 'riding: waiting');
send_to([ $c[7] ], '/gate', 8);
ok($t->reached('/gate', queued => 0, in_flight => 1), 'riding: in flight');

killed($c[0]);
is($t->location('/gate')->{in_flight}, 1, 'riding: in flight still');
$t->write_file('gate', '');
@r = map { $_->response } @c[1 .. 3, 5 .. 7];
answers('riding', \@r, 2 .. 4, 6 .. 8);
is($t->location('/gate')->{retries}, 6, 'riding: nobody is tried again');
idle('riding');

# With the backend idle a request leaves at once, as nothing is in flight.

@c = spread(1);
@r = ask('/auto', 1 .. 4);
answers('after them', \@r, 1 .. 4);

# A worker stands still, with more in the line than goes into one batch: the
# others do not wait for it.

@c = spread(7);
@c = sort { $a->{worker} <=> $b->{worker} } @c;
send_to([ @c[0 .. 6] ], '/full', 1 .. 7);
ok($t->reached('/full', queued => 7), 'still: seven wait');
$t->freeze($c[0]{worker});
$c[7]->send(method => 'POST', uri => '/full',
            body => '{"instances": [21, 22]}');
is($c[7]->response->{body}, '{"predictions": [21, 22]}',
    'still: another worker takes them along');
$t->thaw($c[0]{worker});
@r = map { $_->response } @c[0 .. 5];
answers('still', \@r, 1 .. 6);
send_to([ @c[14 .. 20] ], '/full', 31 .. 37);
@r = map { $_->response } @c[6, 14 .. 20];
answers('still: the rest', \@r, 7, 31 .. 37);
idle('still');

# Workers die again and again while all are busy.

SKIP: {
    skip 'no mark-load', 1 unless -x $load;

    my $run = load_start();

    for (1 .. $kills) {
        sleep 0.1 + rand 0.1;
        my @w = $t->workers;
        my $victim = $w[rand @w];

        push @{$t->{allowed}}, qr/worker process $victim exited on signal/,
            qr/"ngx_http_mark_share" was locked by $victim/,
            qr/worker $victim died while it changed the shared queues/;
        kill 'KILL', $victim;

        wait_for(sub {
            my @now = $t->workers;
            return @now == WORKERS && !grep { $_ == $victim } @now;
        });
    }

    my $report = load_end($run);
    my %e = %{$report->{errors}};
    my $total = delete $e{total};

    is($report->{wrong}, 0, 'kills: no wrong answer');
    cmp_ok($report->{ok}, '>', 100, "kills: $report->{ok} right ones");
    is(join(' ', map { $e{$_} ? "$_: $e{$_}" : () }
                 grep { !/^(?:closed|reset|read|write)$/ } sort keys %e),
        '', 'kills: errors are lost connections alone')
        or diag($json->pretty->encode($report->{errors}));
    cmp_ok($total, '<=', 64 * $kills, "kills: $total of them");
    diag("the longest took $report->{latency}{max} ms");

    if ($t->status->{shared}) {
        idle('kills');

    } else {
        diag('a worker died in the middle of a change');
        ok($t->reload, 'kills: reload');
    }

    @c = spread(2);
    @r = ask('/full', 1 .. 8);
    answers('kills: afterwards', \@r, 1 .. 8);
    is($t->location('/full')->{in_flight}, 0, 'kills: nothing in flight');
}

$t->{leak_check} = 0;    # carriers of the dead
$t->finish;

# One dies in the middle of a change: shared queues are given up, requests are
# not.

SKIP: {
    skip 'sanitizers want to be loaded first', 1 if $ENV{TEST_NGINX_BINARY};

    $t = nginx();
    my $library = deadly() or skip 'no compiler', 1;

    {
        local $ENV{LD_PRELOAD} = $library;
        start();
    }

    $t->allow(qr/worker process \d+ exited on signal 9/,
              qr/"ngx_http_mark_share" was locked by/);
    $t->{leak_check} = 0;

    # between the mark on a bell and its ring: what is in the boxes is found

    @c = spread(2);
    unlink $gate;
    send_to([ @c[0 .. 6] ], '/gate', 1 .. 7);
    ok($t->reached('/gate', queued => 7), 'bell: waiting');
    send_to([ $c[7] ], '/gate', 8);
    ok($t->reached('/gate', queued => 0, in_flight => 1), 'bell: in flight');
    dies('ring', sub { $t->write_file('gate', '') });
    @r = map { $_->response } @c[0 .. 2, 4 .. 6];
    answers('bell', \@r, 1 .. 3, 5 .. 7);
    is($t->location('/gate')->{retries}, 0, 'bell: from the boxes');

    @c = spread(2);
    @r = ask('/full', 1 .. 8);
    answers('bell: afterwards', \@r, 1 .. 8);
    idle('bell');

    # with a cell, or an answer, that is not complete: it is freed

    my $free = $t->status->{shared}{bytes_free};
    my $row = '"' . 'x' x (12345 - 2) . '"';

    @c = spread(2);
    dies('copy', sub {
        send_to([ $c[0] ], '/full', '"' . 'x' x (12345 - 19) . '"');
    });
    ok($t->reached('/full', queued => 0), 'cell: nothing waits');
    idle('cell');
    is($t->status->{shared}{bytes_free}, $free, 'cell: nothing is lost');

    @c = spread(2);
    unlink $gate;
    send_to([ @c[0 .. 6] ], '/gate', map { $row } 1 .. 7);
    ok($t->reached('/gate', queued => 7), 'answer: waiting');
    send_to([ $c[7] ], '/gate', $row);
    ok($t->reached('/gate', queued => 0, in_flight => 1),
        'answer: in flight');
    dies('copy', sub { $t->write_file('gate', '') });
    @r = map { $_->response } @c[0 .. 2, 4 .. 6];
    answers('answer', \@r, map { $row } 1 .. 6);
    is($t->location('/gate')->{retries}, 6, 'answer: tried again');
    idle('answer');
    is($t->status->{shared}{bytes_free}, $free, 'answer: nothing is lost');

    # with the lock held

    @c = spread(2);
    send_to([ @c[0 .. 2] ], '/wait', 1 .. 3);
    ok($t->reached('/wait', queued => 3), 'broken: three wait');

    dies('lock', sub { send_to([ $c[3] ], '/wait', 4) });

    my %alive = map { $_ => 1 } $t->workers;
    @r = grep { $_->{status} }
        map { $alive{$c[$_]{worker}} ? $c[$_]->response : () } 0 .. 3;
    is(join(' ', map { $_->{status} } @r), '200 200 200',
        'broken: all clients of the others are answered');
    is(scalar(() = $t->log =~ /\[alert\].* mark: worker \d+ died while/g), 1,
        'broken: said once');
    $t->allow(qr/mark: worker \d+ died while it changed the shared queues/);
    is($t->status->{shared}, undef, 'broken: nothing is shared');

    # each worker for itself

    @c = spread(2);
    @r = ask('/wait', 1 .. 8);
    answers('broken: each for itself', \@r, 1 .. 8);
    ok($t->reached('/wait', queued => 0, in_flight => 0),
        'broken: nothing is left');

    # members of a failed batch have their turns

    @c = spread(8);
    @r = ask('/apart', map { '"bad"' } 1 .. 32);
    is(join(' ', map { $_->{status} } @r), join(' ', (400) x 32),
        'broken: retries');

    ok($t->reload, 'broken: reload');
    @c = spread(2);
    @r = ask('/full', 1 .. 8);
    answers('broken: shared again', \@r, 1 .. 8);
    idle('broken: shared again');
}

done_testing();


# --- nginx ------------------------------------------------------------------

sub nginx {
    return Test::Mark->new(workers => WORKERS, log_level => 'info');
}


sub start {
    $gate = $t->write_file('gate', '');
    $p = $t->port(8080);

    $t->backend(8081, handler => sub {
        my ($req) = @_;

        if ($req->{uri} eq '/gate') {
            for (1 .. 2000) {
                last if -e $gate;
                select undef, undef, undef, 0.01;
            }
        }

        return { delay => 0.005 } if $req->{uri} eq '/auto';
        return { status => 400, body => '{"error": "bad"}' }
            if $req->{uri} eq '/apart';
        return;
    });

    $t->conf(<<'EOC')->run;
%%GLOBALS%%
worker_rlimit_nofile 8192;
events { worker_connections 2048; }
http {
    %%HTTP%%
    mark_share on 5m;
    keepalive_requests 1000000;

    upstream b { server 127.0.0.1:%%PORT_8081%% max_fails=0; keepalive 16; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    mark_max_batch_size 8;

    server {
        listen 127.0.0.1:%%PORT_8080%% reuseport;
        location = /pid { return 200 $pid; }
        location = /mark_status { access_log off; mark_status; }

        location /full { mark_batch v1; mark_max_queue_delay 60s;
                         proxy_pass http://b; }
        location /gate { mark_batch v1; mark_max_queue_delay 60s;
                         proxy_pass http://b; }
        location /wait { mark_batch v1; mark_max_queue_delay 500ms;
                         proxy_pass http://b; }
        location /apart { mark_batch v1; mark_max_queue_delay 60s;
                          proxy_pass http://b; }
        location /auto { access_log off; mark_batch v1;
                         mark_max_batch_size 32; proxy_pass http://b; }
    }
}
EOC
}


# a worker dies at this place, once, when the code was run

sub dies {
    my ($where, $code) = @_;

    my @before = $t->workers;

    $t->write_file("die-$where", '');
    $code->();

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub {
        my @now = $t->workers;
        return @now == WORKERS && "@now" ne "@before"
            && !-e $t->dir . "/die-$where";
    }), "a worker has died: $where");
}


# the worker of this client

sub killed {
    my ($c) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $created = $t->status->{carriers};

    ok($t->kill_worker($c->{worker}), 'a worker is killed');
    $left = $created->{created} - $created->{freed};
}


# --- clients ----------------------------------------------------------------

# n connections to each worker, in turn; those that are not needed are closed

sub spread {
    my ($n) = @_;

    my %of;
    my @workers = $t->workers;

    until (@workers == grep { @{$of{$_} || []} >= $n } @workers) {
        my $c = Test::Mark::HTTP->new($p) or next;
        my $r = $c->get('/pid');

        $c->{worker} = $r->{body};
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


sub ask {
    my ($uri, @rows) = @_;

    send_to(\@c, $uri, @rows);

    return map { $_->response } @c[0 .. $#rows];
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


# nothing is left anywhere

sub idle {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $now;

    ok(wait_for(sub {
        $now = $t->status;
        return !$now->{queued} && !$now->{in_flight}
            && $now->{shared} && !$now->{shared}{cells};
    }), "$name: nothing is left")
        or diag($json->encode({ map { $_ => $now->{$_} }
                                qw(queued in_flight shared) }));
}


sub load_start {
    my $dir = $t->dir;
    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDOUT, '>', "$dir/load.said";
        open STDERR, '>&', \*STDOUT;
        exec($load, '--json', "$dir/load.json", '--duration', $kills * 0.4,
             '--concurrency', 64, '--timeout', 10, '--spread', '--abort',
             0.01, '--body', '{"instances": [[%u, "a]%u"]]}', '--expect',
             '{"predictions": [[%u, "a]%u"]]}', "http://127.0.0.1:$p/auto")
            or POSIX::_exit(3);
    }

    return $pid;
}


sub load_end {
    my ($pid) = @_;

    waitpid $pid, 0;

    return eval { $json->decode($t->read_file('load.json')) }
        || die $t->read_file('load.said');
}


# A library that kills a worker, once, at the place that the name of a file
# tells: die-lock, when it asks for the time while it holds the lock, the first
# word of the 5m zone; die-ring, before it writes to an eventfd; die-copy,
# before it copies 12345 bytes into the zone.

sub deadly {
    my $dir = $t->dir;
    my $file = $t->write_file('deadly.c', <<"EOC");
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SIZE  (5 * 1024 * 1024)

static void
die(const char *file)
{
    if (unlink(file) == 0) {
        raise(SIGKILL);
    }
}

static unsigned long *
zone(void)
{
    char           line[512];
    FILE          *f;
    unsigned long  from, to;

    f = fopen("/proc/self/maps", "r");

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%lx-%lx rw-s", &from, &to) == 2
            && to - from == SIZE)
        {
            fclose(f);
            return (unsigned long *) from;
        }
    }

    fclose(f);
    return 0;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
    unsigned long  *lock;

    if (access("$dir/die-lock", F_OK) == 0) {
        lock = zone();

        if (lock && (pid_t) *lock == getpid()) {
            die("$dir/die-lock");
        }
    }

    return syscall(SYS_clock_gettime, id, ts);
}

ssize_t
write(int fd, const void *buf, size_t n)
{
    char     path[64], to[64];
    ssize_t  len;

    if (n == 8 && access("$dir/die-ring", F_OK) == 0) {
        sprintf(path, "/proc/self/fd/%d", fd);
        len = readlink(path, to, sizeof(to) - 1);

        if (len > 0 && memmem(to, len, "eventfd", 7)) {
            die("$dir/die-ring");
        }
    }

    return syscall(SYS_write, fd, buf, n);
}

void *
memcpy(void *dst, const void *src, size_t n)
{
    unsigned long  at;

    if (n == 12345 && access("$dir/die-copy", F_OK) == 0) {
        at = (unsigned long) zone();

        if ((unsigned long) dst - at < SIZE) {
            die("$dir/die-copy");
        }
    }

    return memmove(dst, src, n);
}
EOC

    my @cc = ($Config::Config{cc} || 'cc', '-shared', '-fPIC', '-fno-builtin');

    return system(@cc, '-o', "$dir/deadly.so", $file) == 0
        ? "$dir/deadly.so" : undef;
}
