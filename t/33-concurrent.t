#!/usr/bin/perl

# mark_max_concurrent_batches: a backend of the test's own holds every request
# until the test lets it go, so that one too many would be seen.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use List::Util qw(max shuffle sum0);
use Time::HiRes qw(time sleep);

use Test::Mark;
use Test::Mark::HTTP;

my ($t, @held, $port);

my $conf = <<'EOC';
%%GLOBALS%%
worker_rlimit_nofile 4096;
events { worker_connections 1024; }
http {
    %%HTTP%%

    upstream one {
        server 127.0.0.1:%%PORT_8081%%;
        LIMIT
        keepalive 8;
    }

    upstream two {
        BALANCER
        keepalive 8;
        server 127.0.0.1:%%PORT_8081%%;
        server 127.0.0.1:%%PORT_8082%%;
        LIMIT
    }

    upstream failing {
        server 127.0.0.1:%%PORT_8083%%;
        LIMIT
    }

    upstream half {
        server 127.0.0.1:%%PORT_8083%%;
        server 127.0.0.1:%%PORT_8084%%;
        server 127.0.0.1:%%PORT_8085%% backup;
        LIMIT
        keepalive 4;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout READ;
    proxy_next_upstream off;
    add_header X-Pid $pid;

    server {
        listen 127.0.0.1:%%PORT_8080%% reuseport;

        location /one/ {
            mark_batch v1;
            mark_max_batch_size 1;
            mark_slo $http_x_slo_ms;
            proxy_pass http://one;
        }

        location /also/ {
            mark_batch v1;
            mark_max_batch_size 4;
            proxy_pass http://one;
        }

        location /ignores/ {
            mark_batch v1;
            mark_max_batch_size 1;
            proxy_ignore_client_abort on;
            proxy_pass http://one;
        }

        location /two/ {
            mark_batch v1;
            mark_max_batch_size 2;
            proxy_pass http://two;
        }

        location /failing/ {
            mark_batch v1;
            mark_max_batch_size 2;
            mark_max_queue_delay 20ms;
            proxy_pass http://failing;
        }

        location /half/ {
            mark_batch v1;
            mark_max_batch_size 1;
            proxy_next_upstream error;
            proxy_pass http://half;
        }

        location ~ ^/variable/(?<where>one)/ {
            mark_batch v1;
            proxy_pass http://$where;
        }

        location = /prometheus { mark_status prometheus; }
        location = /mark_status { mark_status; }
    }
}
EOC

plan(skip_all => 'no module') unless Test::Mark->new->has_module;

# However many workers, locations and keys: never more than N at a server, and
# all are answered.

for my $workers (1, 2, 4) {
    my $n = $workers == 2 ? 2 : 1;

    # round robin does not know of other workers, nor of idle servers
    my $balancer = $workers == 2 ? 'least_conn; zone two 64k;' : '';

    start(workers => $workers, limit => $n, balancer => $balancer);

    many("$workers workers, limit $n", 60, $n,
         map { my $k = $_; map { "/$_/?k=$k" } qw(one also) } 1 .. 3);
    is($held[1]{served}, 0, "$workers workers: the other server is not used");

    many("$workers workers, two servers", 60, $n, map { "/two/?k=$_" } 1 .. 3);
    cmp_ok($held[1]{served}, '>', 0, "$workers workers: both servers");
    cmp_ok($held[1]{accepted}, '<=', 2, "$workers workers: kept alive")
        if $workers == 1;

    cmp_ok(upstream('one')->{blocked}, '>', 0, "$workers workers: counted");
    is(upstream('two')->{servers}, 2, "$workers workers: servers counted");
    is(upstream('two')->{max_concurrent_batches}, $n, "$workers workers: N");

    finish();
}

# The most urgent of all workers' requests goes next.

for my $workers (1, 2, 4) {
    start(workers => $workers);

    my $first = client('/one/', 'first');
    ok(pump(sub { $held[0]->open == 1 }), "$workers workers: the first");

    # seconds, and whether they are of another key
    my @waiting = map { client('/one/?k=' . $_ % 3, $_, 'X-Slo-Ms' => "${_}s") }
        shuffle(map { 30 + 5 * $_ } 1 .. 24);

    ok(waiting('/one/', 24), "$workers workers: all others wait");

    my @order;

    for (1 .. 25) {
        pump(sub { $held[0]->open }) or last;
        push @order, $held[0]->row(0);
        $held[0]->answer(0);
    }

    is("@order", join(' ', 'first', map { 30 + 5 * $_ } 1 .. 24),
        "$workers workers: the most urgent next");

    my @r = answers($first, @waiting);
    is(scalar(grep { $_->{status} == 200 } @r), 25, "$workers workers: 200");

    my %pids = map { $_->{headers}{'x-pid'} => 1 } @r;
    cmp_ok(scalar keys %pids, '>', 1, "$workers workers: of several")
        if $workers > 1;

    is(max_open(), 1, "$workers workers: never two");
    like($t->log, qr/mark: bell/, "$workers workers: by a bell")
        if $workers > 1;
    finish();
}

# What has waited for more than 10 seconds goes before all.

if ($ENV{TEST_MARK_SOAK}) {
    start(workers => 1);

    my @c = client('/one/', 'first');
    ok(pump(sub { $held[0]->open == 1 }), 'patience: the first');
    push @c, client('/one/?k=1', 'old', 'X-Slo-Ms' => '60s');
    ok(waiting('/one/', 1), 'patience: one waits');

    sleep 10.2;
    push @c, client('/one/?k=2', 'new', 'X-Slo-Ms' => '5s');
    ok(waiting('/one/', 2), 'patience: a more urgent one');

    $held[0]->answer(0);
    ok(pump(sub { $held[0]->open }), 'patience: the next');
    is($held[0]->row(0), 'old', 'patience: is the one that waited');
    ok(drain(sub { $held[0]{served} == 3 }), 'patience: all');
    answers(@c);
    finish();
}

# A worker dies with a batch: its place comes back.

for my $workers (1, 2) {
    start(workers => $workers);

    my $c = client('/one/', 1);
    ok(pump(sub { $held[0]->open == 1 }), "crash, $workers: in flight");

    my ($pid) = grep { connected($_, $held[0]{port}) } $t->workers;

    # whoever waits with another worker stays

    my @waiting = map { client('/also/', $_) } 1 .. 12;
    ok(waiting('/also/', 12), "crash, $workers: waiting");
    ok($t->kill_worker($pid), "crash, $workers: respawned");

    # the dead worker's request is gone, and with it its connection

    ok(pump(sub { $held[0]{gone} == 1 }), "crash, $workers: noticed");
    ok(drain(sub { !grep { !ready($_) } @waiting }),
        "crash, $workers: nobody hangs");
    is(scalar(grep { $_->{status} != 0 && $_->{status} != 200 }
              answers(@waiting)), 0, "crash, $workers: 200, or the crash");

    my $r = answer_of(client('/one/', 2));
    is($r->{status}, 200, "crash, $workers: and on");
    is(max_open(), 1, "crash, $workers: never two");
    is(upstream('one')->{in_flight}, 0, "crash, $workers: all places free");
    finish();
}

# A reload while requests are in flight and wait: old and new workers share.

for my $workers (1, 2) {
    start(workers => $workers);

    my @old = $t->workers;
    my @c = client('/one/', 0);
    ok(pump(sub { $held[0]->open == 1 }), "reload, $workers: in flight");

    push @c, map { client("/one/?k=$_", $_) } 1 .. 6;
    ok(waiting('/one/', 6), "reload, $workers: waiting");
    ok($t->reload, "reload, $workers");

    push @c, map { client("/one/?k=$_", $_) } 7 .. 12;
    ok(waiting('/one/', 12), "reload, $workers: more, with the new ones");
    is(upstream('one')->{in_flight}, 1, "reload, $workers: counted together");
    is($held[0]->open, 1, "reload, $workers: one in flight");

    ok(drain(sub { $held[0]{served} == 13 }), "reload, $workers: all served");
    is(scalar(grep { $_->{status} == 200 } answers(@c)), 13,
        "reload, $workers: all answered");
    is(max_open(), 1, "reload, $workers: never two");
    ok($t->wait_gone(@old), "reload, $workers: the old ones leave");
    finish();
}

# An old worker dies with a batch: nobody takes its seat.

{
    start(workers => 1);

    my ($old) = $t->workers;
    my $c = client('/one/', 0);
    ok(pump(sub { $held[0]->open == 1 }), 'old: in flight');
    ok($t->reload, 'old: reload');

    my @c = map { client("/one/?k=$_", $_) } 1 .. 3;
    ok(waiting('/one/', 3), 'old: the new one waits');
    ok($t->kill_worker($old), 'old: dies');
    ok(drain(sub { $held[0]{served} == 3 }), 'old: its place comes back');
    is(scalar(grep { $_->{status} == 200 } answers(@c)), 3, 'old: 200');
    is(max_open(), 1, 'old: never two');
    finish();
}

# QUIT: what waits at the gate is answered.

{
    start(workers => 2);

    my @c = map { client("/one/?k=$_", $_) } 1 .. 6;
    ok(pump(sub { $held[0]->open == 1 }), 'QUIT: in flight');
    ok(waiting('/one/', 5), 'QUIT: waiting');

    $t->{leak_check} = 0;
    $t->signal('QUIT');

    ok(drain(sub { $held[0]{served} == 6 }), 'QUIT: all served');
    is(scalar(grep { $_->{status} == 200 } answers(@c)), 6,
        'QUIT: all answered');
    is(max_open(), 1, 'QUIT: never two');
    ok($t->end, 'QUIT: status 0');
    finish();
}

# A backend that hangs holds its place until proxy_read_timeout, not longer.

{
    start(workers => 2, read => '1s');

    my $c = client('/one/', 'hangs');
    ok(pump(sub { $held[0]->open == 1 }), 'hang: in flight');

    my @c = map { client("/one/?k=$_", $_) } 1, 2;
    ok(waiting('/one/', 2), 'hang: waiting');

    ok(pump(sub { ready($c) }), 'hang: for a while');
    is(answer_of($c)->{status}, 504, 'hang: times out');
    ok(pump(sub { $held[0]->open == 1 && $held[0]->row(0) ne 'hangs' }),
        'hang: the next goes');
    ok(drain(sub { $held[0]{served} == 2 }), 'hang: and the last');
    is(scalar(grep { $_->{status} == 200 } answers(@c)), 2, 'hang: 200');
    is(max_open(), 1, 'hang: never two');
    finish();
}

# Clients leave, while they wait or are in flight.

{
    start(workers => 2);

    my $c = client('/ignores/', 0);
    ok(pump(sub { $held[0]->open == 1 }), 'leave: in flight');

    my @c = map { client("/one/?k=$_", $_, 'X-Slo-Ms' => '50s') } 1 .. 8;
    my @stay = map { client("/also/?k=$_", $_) } 1 .. 4;
    ok(waiting('/one/', 8) && waiting('/also/', 4), 'leave: waiting');

    $_->{c}->close for @c;
    ok(pump(sub { $t->location('/one/')->{queued} == 0 }), 'leave: left');

    $c->{c}->close;
    sleep 0.2;
    is($held[0]->open, 1, 'leave: in flight as well');
    is(upstream('one')->{in_flight}, 1, 'leave: which keeps its place');

    ok(drain(sub { $held[0]{served} == 5 }), 'leave: the others go');
    is(scalar(grep { $_->{status} == 200 } answers(@stay)), 4, 'leave: 200');

    my $r = client('/one/', 'x');
    ok(pump(sub { $held[0]->open == 1 }), 'leave: in flight once more');
    my $next = client('/also/', 'y');
    ok(waiting('/also/', 1), 'leave: one waits');
    $r->{c}->close;
    ok(pump(sub { $held[0]{gone} && $held[0]->open == 1 }),
        'leave: its place is free at once');
    $held[0]->answer(0);
    is(answer_of($next)->{status}, 200, 'leave: 200');
    is(max_open(), 1, 'leave: never two');
    finish();
}

# Members of a failed batch have their places one after the other.

{
    start(workers => 2);
    my $b = $t->backend(8083, handler => sub {
        my ($req) = @_;
        return { status => 400, body => '{"error": "bad"}' }
            if $req->{body} =~ /bad/;
        return;
    });

    my @r = http_many([map { { uri => '/failing/',
        body => '{"instances": [' . ($_ % 5 ? $_ : '"bad"') . ']}' } } 1 .. 40],
        port => $port);

    is(scalar(grep { $_->{status} == 200 } @r), 32, 'retries: 200');
    is(scalar(grep { $_->{status} == 400 } @r), 8, 'retries: 400');
    ok(wait_for(sub { upstream('failing')->{in_flight} == 0 }),
        'retries: all places free');

    # nobody listens at all

    $b->stop;
    @r = http_many([map { { uri => '/failing/', body => '{"instances": [1]}' } }
                    1 .. 8], port => $port);
    is(scalar(grep { $_->{status} == 502 } @r), 8, 'down: 502');
    ok(wait_for(sub { upstream('failing')->{in_flight} == 0 }),
        'down: all places free');
    finish();
}

# A server that is down is no trouble, and backup servers are left alone.

{
    start(workers => 2);
    my $b = $t->backend(8083, delay => 0.005);
    my $backup = $t->backend(8085);

    my @r = http_many([map { { uri => "/half/?k=" . $_ % 3,
        body => '{"instances": [1]}' } } 1 .. 60], port => $port);

    is(scalar(grep { $_->{status} == 200 } @r), 60, 'half: 200');
    is(scalar $b->requests, 60, 'half: all from the one that is up');
    is(scalar $backup->requests, 0, 'half: none from the backup');
    ok(wait_for(sub { upstream('half')->{in_flight} == 0 }),
        'half: all places free');
    finish();
}

# Variables in proxy_pass, and what the metrics say.

{
    start(workers => 1);

    my @c = map { client("/variable/one/?k=$_", $_) } 1, 2;
    ok(pump(sub { $held[0]->open == 2 }), 'variables: no limit');
    drain(sub { $held[0]{served} == 2 });
    answers(@c);
    ok($t->wait_log(qr/\[warn\].*upstream "one" does not hold for location/),
        'variables: the log says so');

    my $text = http_get($port, '/prometheus')->{body};

    for (['in_flight_batches', 'one', 0], ['places', 'two', 2],
         ['blocked_total', 'one', 0])
    {
        my ($metric, $name, $value) = @$_;
        like($text,
            qr/^nginx_mark_upstream_$metric\{upstream="$name"\} $value$/m,
            "Prometheus: $metric");
    }

    finish();
}

# Without a master, and with the wrong words.

{
    start(workers => 0);
    many('no master', 20, 1, map { "/one/?k=$_" } 1 .. 3);
    finish();

    for (['mark_max_concurrent_batches 0', qr/must be|equal|greater|between/],
         ['mark_max_concurrent_batches x', qr/"mark_max_concurrent_batches" d/],
         ['mark_max_concurrent_batches', qr/invalid number of arguments/],
         ['mark_max_concurrent_batches 1; mark_max_concurrent_batches 1',
          qr/"mark_max_concurrent_batches" directive is duplicate/])
    {
        my ($line, $message) = @$_;
        (my $text = $conf) =~ s/LIMIT/$line;/;
        my ($status, $said) = $t->test_conf(expand($text));
        is($status, 1, "refused: $line");
        like($said, $message, "refused: $line: message");
    }

    (my $text = $conf) =~ s/(add_header)/mark_max_concurrent_batches 1; $1/;
    like(($t->test_conf(expand($text)))[1], qr/directive is not allowed here/,
        'refused: in http');
}

done_testing();


sub expand {
    my ($text, %o) = @_;

    my $limit = $o{limit} || 1;
    my $read = $o{read} || '60s';
    my $balancer = $o{balancer} || '';

    $text =~ s/LIMIT/mark_max_concurrent_batches $limit;/g;
    $text =~ s/READ/$read/;
    $text =~ s/BALANCER/$balancer/;

    return $text;
}


sub start {
    my (%o) = @_;

    $t = Test::Mark->new(workers => $o{workers});
    $port = $t->port(8080);
    @held = map { Held->new($t->port($_)) } 8081, 8082;
    $t->conf(expand($conf, %o))->run;
}


sub finish {
    $t->finish;
    $_->stop for @held;
}


sub upstream {
    my ($name) = @_;

    my ($u) = grep { $_->{upstream} eq $name } @{$t->status->{upstreams}};
    return $u;
}


# a request that is under way: { c => connection, row => what it asks }

sub client {
    my ($uri, $row, %headers) = @_;

    my $c = Test::Mark::HTTP->new($port) or die "connect: $!\n";
    $c->send(method => 'POST', uri => $uri, body => qq({"instances": ["$row"]}),
             headers => { Connection => 'close', %headers });

    return { c => $c, row => $row };
}


sub answer_of {
    my ($client) = @_;

    pump(sub { $held[0]->answer($_) for reverse 0 .. $held[0]->open - 1;
               ready($client) }) unless ready($client);

    my $r = $client->{c}->response;
    $client->{c}->close;

    return $r;
}


sub answers { map { answer_of($_) } @_ }


# there is something to read, or the end

sub ready {
    my ($client) = @_;

    return IO::Select->new($client->{c}->socket)->can_read(0);
}


# lets the backends read until the condition holds

sub pump {
    my ($condition) = @_;

    return wait_for(sub { $_->pump for @held; $condition->() });
}


# the same, and they answer

sub drain {
    my ($condition) = @_;

    return pump(sub {
        for my $h (@held) {
            $h->answer(0) if $h->open;
        }
        $condition->();
    });
}


sub waiting {
    my ($location, $n) = @_;

    my $all = pump(sub { $t->location($location)->{queued} == $n });

    # who has counted it has not told the others yet, perhaps
    sleep 0.1;
    $_->pump for @held;

    return $all;
}


sub max_open { max(map { $_->{max} } @held) }


# is the process connected to this port?

sub connected {
    my ($pid, $to) = @_;

    my $hex = sprintf '%04X', $to;
    my %inodes;

    open my $f, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";

    for (<$f>) {
        my @f = split;
        $inodes{$f[9]} = 1 if $f[2] =~ /:$hex$/ && $f[3] eq '01';
    }

    return grep { (readlink || '') =~ /^socket:\[(\d+)\]/ && $inodes{$1} }
        glob "/proc/$pid/fd/*";
}


# so many clients, of which the backends let go one at a time

sub many {
    my ($name, $n, $limit, @uris) = @_;

    $_->{max} = $_->{served} = 0 for @held;

    my @c = map { client($uris[$_ % @uris], $_) } 1 .. $n;
    my $first = pump(sub { sum0(map { $_->open } @held) >= $limit });
    ok($first, "$name: as many as may");

    my @left = @c;

    ok(pump(sub {
        my @open = grep { $_->open } @held;
        my $h = $open[rand @open] if @open;
        $h->answer(int rand $h->open) if $h;
        @left = grep { !ready($_) } @left;
        return !@left;
    }), "$name: all are answered");

    my $good = grep {
        my $r = $_->{c}->response;
        $_->{c}->close;
        $r->{status} == 200 && $r->{body} =~ /\["$_->{row}"\]/
    } @c;

    is($good, $n, "$name: each has its own answer");
    is(max_open(), $limit, "$name: never more at a server than the limit");
    ok(wait_for(sub { !sum0(map { $_->{in_flight} }
                            @{$t->status->{upstreams}}) }),
        "$name: all places are free");
}


# A backend inside the test: it reads requests when it is pumped, and answers
# those that the test picks.

package Held;

use IO::Select;
use IO::Socket::INET;
use Test::Mark::Backend ();


sub new {
    my ($class, $port) = @_;

    my $listen = IO::Socket::INET->new(Proto => 'tcp', Listen => 512,
        LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1)
        or die "listen: $!\n";
    $listen->blocking(0);

    return bless { listen => $listen, port => $port, conns => {}, open => [],
                   max => 0, served => 0, gone => 0, accepted => 0 }, $class;
}


sub open { scalar @{$_[0]{open}} }

sub row { $_[0]{open}[$_[1]]{rows}[0] =~ /"(.*)"/ ? $1 : '' }


sub pump {
    my ($h) = @_;

    while (my $s = $h->{listen}->accept) {
        $s->blocking(0);
        $h->{accepted}++;
        $h->{conns}{fileno $s} = { s => $s, in => '' };
    }

    my $select = IO::Select->new(map { $_->{s} } values %{$h->{conns}});

    for my $s ($select->can_read(0)) {
        my $c = $h->{conns}{fileno $s};

        my $n;

        # all of it, so that what was closed meanwhile is not taken for open
        1 while $n = sysread($s, $c->{in}, 65536, length $c->{in});

        if (defined $n) {
            my @left = grep { $_->{c} != $c } @{$h->{open}};
            $h->{gone} += @{$h->{open}} - @left;
            $h->{open} = \@left;
            delete $h->{conns}{fileno $s};
            close $s;
            next;
        }

        $c->{in} =~ /^Content-Length: (\d+)\r$/mi or next;
        my $len = $1;
        $c->{in} =~ s/\A.*?\r\n\r\n(.{$len})//s or next;

        push @{$h->{open}}, { c => $c, rows =>
            Test::Mark::Backend::rows_of($1, 'instances') };
    }

    # what nginx closed before it sent the next one is not counted with it
    $h->{max} = @{$h->{open}} if @{$h->{open}} > $h->{max};
}


sub answer {
    my ($h, $i) = @_;

    my ($req) = splice @{$h->{open}}, $i, 1;
    my $body = '{"predictions": [' . join(', ', @{$req->{rows}}) . ']}';

    $h->{served}++;
    syswrite($req->{c}{s}, "HTTP/1.1 200 OK\r\nContent-Length: "
             . length($body) . "\r\n\r\n$body");
}


sub stop {
    my ($h) = @_;

    close $_->{s} for values %{$h->{conns}};
    close $h->{listen};
}
