#!/usr/bin/perl

# Reloads, ends, crashes and upgrades of nginx, with requests that wait and
# batches that are with the backend.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use POSIX ();
use Test::Mark;
use Test::Mark::HTTP;
use Time::HiRes qw(time sleep);

my ($t, $b, $generation, $limits, $p);

my $conf = <<'EOC';
%%GLOBALS%%

LIMITS

events {
    EVENTS
}

http {
    %%HTTP%%

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 4;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    client_max_body_size 8m;
    client_body_buffer_size 4m;

    mark_max_batch_size 4;

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        add_header X-Generation GENERATION;
        add_header X-Pid $pid;

        location /wait {
            mark_batch v1;
            mark_max_queue_delay 1500ms;
            proxy_pass http://b;
        }

        location /fly {
            mark_batch v1;
            mark_max_queue_delay 30s;
            proxy_pass http://b;
        }

        location /load {
            mark_batch v1;
            mark_max_queue_delay 5ms;
            proxy_pass http://b;
        }

        location /unbuffered {
            mark_batch v1;
            mark_max_queue_delay 30s;
            proxy_buffering off;
            proxy_pass http://b;
        }

        location = /mark_status {
            mark_status;
        }
    }
}
EOC

# HUP: the old worker answers all that it has.

{
    start();

    my ($old) = $t->workers;
    my @clients = in_flight_and_waiting();

    ok(reload(2), 'HUP');
    ok(-e "/proc/$old", 'HUP: the old worker stays');
    is(http_get($p, '/none')->{status}, 404, 'HUP: the new one is there');
    $b->resume;

    my @r = map { $_->response } @clients;
    answers('HUP', \@r, 1 .. 7);
    is(join(' ', map { $_->{headers}{'x-pid'} } @r), join(' ', ($old) x 7),
        'HUP: by the old worker');
    is($r[0]{headers}{'x-generation'}, 1, 'HUP: with its configuration');
    is($r[0]{headers}{connection}, 'close', 'HUP: which closes');
    $_->close for @clients;
    ok($t->wait_gone($old), 'HUP: and leaves');

    @r = batch('/fly', 11 .. 14);
    answers('HUP: new', \@r, 11 .. 14);
    is($r[0]{headers}{'x-generation'}, 2, 'HUP: new configuration');

    my $c = $t->location('/fly');
    is($c->{requests}, 8, 'HUP: counters go on');
    is($c->{carriers}{freed}, 2, 'HUP: carriers');

    # queued only, nothing in flight: the timer alone holds the worker

    ($old) = $t->workers;
    @clients = map { client('/wait', $_) } 1 .. 3;
    ok($t->reached('/wait', queued => 3), 'HUP: waiting');
    ok(reload(3), 'HUP: with these');
    answers('HUP: waiting', [map { $_->response } @clients], 1 .. 3);
    $_->close for @clients;
    ok($t->wait_gone($old), 'HUP: gone');

    # a refused reload changes nothing

    my $before = $t->location('/fly')->{requests};
    @clients = map { client('/fly', $_) } 1 .. 3;
    ok($t->reached('/fly', queued => 3), 'refused: waiting');
    ok(!$t->reload("%%GLOBALS%%\nevents { }\nnonsense;\n"), 'refused');
    $t->allow(qr/"nonsense"/);
    configure(3);
    push @clients, client('/fly', 4);
    answers('refused', [map { $_->response } @clients], 1 .. 4);
    is($t->location('/fly')->{requests}, $before + 4, 'refused: counters');

    # QUIT likewise

    @clients = in_flight_and_waiting();
    $t->signal('QUIT');
    ok(wait_for(sub { !IO::Socket::INET->new("127.0.0.1:$p") }),
        'QUIT: does not listen');
    $b->resume;
    answers('QUIT', [map { $_->response } @clients], 1 .. 7);
    $_->close for @clients;
    ok($t->end, 'QUIT: status 0');
    $t->finish;
}

# Nobody waits for ever.

{
    start(limits => 'worker_shutdown_timeout 1s;');

    my ($old) = $t->workers;
    my @clients = in_flight_and_waiting();
    push @clients, map { client('/fly/other', $_) } 1 .. 3;
    ok($t->reached('/fly', queued => 3),
        'shutdown timeout: others wait longer');

    my $start = time;

    ok(reload(2), 'shutdown timeout');
    ok($t->wait_gone($old), 'shutdown timeout: gone');
    cmp_ok(time - $start, '<', 12, 'shutdown timeout: soon');

    # those that waited were sent before the end, or not; none has an answer
    # of a backend that is frozen

    my @r = map { $_->response } @clients;
    is(scalar(grep { $_->{status} == 200 } @r), 0,
        'shutdown timeout: no answers');
    $b->resume;
    answers('shutdown timeout: new', [batch('/fly', 1 .. 4)], 1 .. 4);
    $t->finish;
}

# TERM does not wait.

{
    start();

    my @clients = in_flight_and_waiting();

    $t->{leak_check} = 0;
    ok($t->term, 'TERM: status 0');
    is(scalar(grep { $_->response->{complete} } @clients), 0,
        'TERM: no answers');
    $b->resume;
    $t->finish;
}

# A worker is killed: what it had is lost, its gauges do not stick.

{
    start();
    $t->{leak_check} = 0;

    answers('kill: before', [batch('/fly', 1 .. 4)], 1 .. 4);

    my @clients = in_flight_and_waiting();

    ok($t->kill_worker, 'kill: another worker');
    is(scalar(grep { $_->response->{complete} } @clients), 0,
        'kill: no answers');
    $b->resume;

    my $status = $t->status;
    is("$status->{queued} $status->{in_flight}", '0 0', 'kill: gauges');
    is($t->location('/fly')->{requests}, 8, 'kill: counters stay');

    answers('kill: after', [batch('/fly', 1 .. 4)], 1 .. 4);
    $status = $t->status;
    is("$status->{queued} $status->{in_flight}", '0 0', 'kill: gauges again');
    $t->finish;
}

# Fifty reloads under light load.

{
    start(workers => 2, log_level => 'info');

    answers('reloads: before', [batch('/load', 1 .. 4)], 1 .. 4);

    my @files = map { $t->open_files($_) } $t->pid, $t->workers;
    my $reloader = fork;
    die "fork: $!\n" unless defined $reloader;

    if ($reloader == 0) {
        for (1 .. 50) {
            kill 'HUP', $t->pid;
            sleep 0.08;
        }

        POSIX::_exit(0);
    }

    my @r = http_many([map { {
        uri => '/load', body => qq({"instances": [$_]}), at => $_ * 0.01,
        headers => { Connection => 'close' },
    } } 1 .. 450], port => $p);

    waitpid $reloader, 0;

    answers('reloads', \@r, 1 .. 450);
    my %pids = map { $_->{headers}{'x-pid'} || '-' => 1 } @r;
    cmp_ok(scalar keys %pids, '>', 10, 'reloads: by many workers');
    ok(wait_for(sub { $t->workers(all => 1) == 2 }), 'reloads: all left');

    # the last of the signals may still be on its way
    wait_for(sub { $t->location('/load')->{queued} == 0 });
    is($t->location('/load')->{requests}, 454, 'reloads: counters');

    # but for cached connections to the backend

    my $now;
    my $same = wait_for(sub {
        $now = join ' ', map { $t->open_files($_) } $t->pid, $t->workers;
        my @now = split ' ', $now;
        return @now == 3 && !grep { $now[$_] > $files[$_] + 4 } 0 .. 2;
    }, 5);
    ok($same, 'reloads: open files') or diag("@files, then $now");
    $t->finish;
}

# One process for all.

{
    start(workers => 0);

    answers('single', [batch('/fly', 1 .. 4)], 1 .. 4);

    # (nginx itself does not survive HUP in this mode)

    my @clients = in_flight_and_waiting();
    my $status = $t->status;
    is("$status->{queued} $status->{in_flight}", '3 1', 'single: gauges');
    $b->resume;
    answers('single: waited', [map { $_->response } @clients], 1 .. 7);
    $t->finish;
}

# Hardly any connections.

{
    start(events => 'worker_connections 24;', log_level => 'info');
    $t->allow(qr/worker_connections are not enough/);

    my ($worker) = $t->workers;
    my @r = http_many([map { {
        uri => '/load', body => qq({"instances": [$_]}),
    } } 1 .. 60], port => $p, timeout => 10);

    my %how;
    my $wrong = 0;

    for my $n (1 .. 60) {
        my $r = $r[$n - 1];

        $how{$r->{status}}++;
        $wrong++ if $r->{status} == 200
                    && $r->{body} ne qq({"predictions": [$n]});
    }

    is($wrong, 0, 'few connections: answers');
    is(join(' ', grep { !/^(?:0|200|500|502)$/ } keys %how), '',
        'few connections: errors')
        or diag(join ' ', map { "$_: $how{$_}" } sort keys %how);

    ok(wait_for(sub {
        my @again = batch('/fly', 1 .. 4);
        return !grep { $_->{status} != 200 } @again;
    }, 10), 'few connections: works again');
    is(($t->workers)[0], $worker, 'few connections: no crash');
    $t->finish;
}

# Other event methods.

for my $method (qw(epoll poll select)) {
    SKIP: {
        my $probe = Test::Mark->new(leak_check => 0);
        my ($refused) = $probe->test_conf(
            "%%GLOBALS%%\nevents { use $method; }\n");

        skip "nginx without $method", 8 if $refused;

        start(events => "use $method;");

        answers("$method", [batch('/fly', 1 .. 4)], 1 .. 4);
        answers("$method, alone", [batch('/load', 1)], 1);
        answers("$method, unbuffered", [batch('/unbuffered', 1 .. 4)],
            1 .. 4);

        my @big = map { '"' . "$_" x 300000 . '"' } 1 .. 4;
        answers("$method, big", [batch('/fly', @big)], @big);

        my @clients = in_flight_and_waiting();
        $clients[0]->close;
        $clients[5]->reset;
        $clients[6]->shutdown_write;
        ok($t->reached('/wait', aborted => 2), "$method: aborted, waiting");
        my $aborted = $t->reached('/fly', aborted => 1);
        $b->resume;
        ok($aborted, "$method: aborted, in flight");
        answers("$method, the others",
            [map { $clients[$_]->response } 1 .. 4], 2 .. 5);

        $b->stop;
        is(join(' ', map { $_->{status} } batch('/fly', 1 .. 4)),
            '502 502 502 502', "$method: backend gone");
        $b->start;
        $t->finish;
    }
}

upgrade();

done_testing;


# USR2: another binary takes over.  It wants a daemon.

sub upgrade {
    my $u = Test::Mark->new(leak_check => 0);
    my $backend = $u->backend(8081);
    my ($dir, $port) = ($u->dir, $u->port(8080));

    ($t, $b, $p) = ($u, $backend, $port);
    ($generation, $limits) = (1, '');
    configure(1, '');
    $u->{conf} =~ s/daemon off;/daemon on;/;
    $u->write_file('nginx.conf', $u->{conf});

    my $pid = fork;
    die "fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$dir/stderr";
        open STDERR, '>&', \*STDOUT;
        $u->environment('detect_leaks=0');
        exec $Test::Mark::binary, '-p', "$dir/", '-c', "$dir/nginx.conf",
            '-e', "$dir/error.log" or POSIX::_exit(127);
    }

    waitpid $pid, 0;
    is($?, 0, 'USR2: started');
    my $answers = wait_for(sub { http_get($port, '/none')->{status} == 404 });
    ok($answers, 'USR2: answers');
    chomp(my $old = $u->read_file('nginx.pid'));

    my @clients = in_flight_and_waiting();

    kill 'USR2', $old;
    ok(wait_for(sub { -s "$dir/nginx.pid" && -e "$dir/nginx.pid.oldbin" }),
        'USR2: two masters');
    chomp(my $new = $u->read_file('nginx.pid'));
    kill 'QUIT', $old;
    ok(wait_for(sub { !-e "$dir/nginx.pid.oldbin" || !$backend->requests }),
        'USR2: the old one leaves');
    $backend->resume;

    answers('USR2', [map { $_->response } @clients], 1 .. 7);
    $_->close for @clients;
    ok($u->wait_gone($old), 'USR2: the old one is gone');
    answers('USR2: new', [batch('/fly', 1 .. 4)], 1 .. 4);

    my $status = $u->status;
    is("$status->{carriers}{created} $status->{carriers}{freed}", '1 1',
        'USR2: new counters');
    kill 'QUIT', $new;
    ok($u->wait_gone($new), 'USR2: the end');

    $u->check_logs;
    is("@{$u->{problems}}", '', 'USR2: no alerts');
}


# nginx and a backend of their own

sub start {
    my (%o) = @_;

    my $events = delete $o{events} || '';

    $limits = delete $o{limits} || '';
    $t = Test::Mark->new(%o);
    $b = $t->backend(8081);
    $p = $t->port(8080);

    configure(1, $events);
    $t->run;
}


sub configure {
    my ($n, $events) = @_;

    our $kept;

    $kept = $events if defined $events;
    $generation = $n;
    (my $text = $conf) =~ s/GENERATION/$n/;
    $text =~ s/LIMITS/$limits/;
    $text =~ s/EVENTS/$kept/;
    $t->conf($text);
}


sub reload {
    my ($n) = @_;

    configure($n);
    return $t->reload;
}


sub client {
    my ($uri, $row) = @_;

    my $c = Test::Mark::HTTP->new($p);
    $c->send(uri => $uri, body => qq({"instances": [$row]}));

    return $c;
}


# a batch of four (1 .. 4) with the frozen backend, and three (5 .. 7) that
# wait

sub in_flight_and_waiting {
    $b->freeze;

    my @clients = map { client('/fly', $_) } 1 .. 4;

    ok($t->reached('/fly', in_flight => 1), 'a batch is in flight');
    push @clients, map { client('/wait', $_) } 5 .. 7;
    ok($t->reached('/wait', queued => 3), 'requests wait');

    return @clients;
}


sub batch {
    my ($uri, @rows) = @_;

    return http_many([map { {
        uri => $uri, body => qq({"instances": [$_]}),
    } } @rows], port => $p);
}


sub answers {
    my ($name, $got, @rows) = @_;

    my @wrong = grep {
        "$got->[$_]{status} $got->[$_]{body}"
            ne qq(200 {"predictions": [$rows[$_]]})
    } 0 .. $#rows;

    ok(!@wrong && @$got == @rows, "$name: answers")
        or diag(map {
            my $r = $got->[$_];
            "$rows[$_]: $r->{status} " . substr($r->{body}, 0, 80)
                . ($r->{error} || '') . "\n"
        } splice @wrong, 0, 5);
}
