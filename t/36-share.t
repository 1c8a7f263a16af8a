#!/usr/bin/perl

# Queues that four workers share: batches fill from the clients of all of
# them, and each client has its own answer, wherever it is connected and
# whoever leaves.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use POSIX ();
use Test::Mark;
use Test::Mark::HTTP;
use Test::Mark::HTTP2;

use constant WORKERS => 4;

my $t = Test::Mark->new(workers => WORKERS, log_level => 'info');

plan(skip_all => 'no module') unless $t->has_module;
plan(skip_all => 'nginx without HTTP/2')
    unless $t->has_option('http_v2_module');

my $json = JSON::PP->new->canonical;
my $gate = $t->dir . '/gate';

my $b = $t->backend(8081, handler => sub {
    my ($req) = @_;

    return tensors($req) if $req->{uri} =~ m!^/v2/!;
    return { status => 503, body => '{"error": "busy"}',
             headers => { 'Retry-After' => 7 } } if $req->{uri} eq '/busy';
    return { status => 400, body => '{"error": "bad"}' }
        if $req->{uri} eq '/apart' && $req->{body} =~ /bad/;

    if ($req->{uri} eq '/apart-gate') {
        wait_for_gate();
        return { status => 400, body => '{"error": "bad"}' }
            if $req->{body} =~ /bad/;
    }

    return { reason => 'Fine', headers => [ 'X-Model' => 'm 1', 'X-Model' =>
             'm 2', 'Content-Type' => 'application/json; charset=utf-8' ] }
        if $req->{uri} eq '/headers';
    return { delay => 30 } if $req->{uri} eq '/slow';
    return { delay => 0.02 } if $req->{uri} eq '/busy-all';
    return { rows => [ map { '"' . $_ x 200000 . '"' } @{$req->{rows}} ] }
        if $req->{uri} eq '/grows';

    wait_for_gate() if $req->{uri} eq '/gate';
    return;
});

# batches leave when they are full, so that no test depends on time

my $conf = <<'EOC';
%%GLOBALS%%
events { worker_connections 1024; }
http {
    %%HTTP%%
    mark_share SHARE;

    log_format marks '$pid $uri $status n=$mark_batch_size '
                     'rows=$mark_batch_rows why=$mark_reason '
                     'from=$upstream_addr said=$upstream_status';
    access_log %%DIR%%/access.log marks;

    upstream b { server 127.0.0.1:%%PORT_8081%%; keepalive 8; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    client_max_body_size 16m;
    client_body_buffer_size 16m;

    mark_max_batch_size 8;
    mark_max_queue_delay 30s;

    server {
        listen 127.0.0.1:%%PORT_8080%% reuseport;
        listen 127.0.0.1:%%PORT_8443%% http2 reuseport;

        location = /pid { return 200 $pid; }
        location / { mark_batch v1; proxy_pass http://b; }
        location /headers { mark_batch v1; proxy_pass http://b; }
        location /slow { mark_batch v1; proxy_pass http://b; }
        location /gate { mark_batch v1; proxy_pass http://b; }
        location /apart { mark_batch v1; proxy_pass http://b; }
        location /apart-gate { mark_batch v1; proxy_pass http://b; }
        location /wait { mark_batch v1; mark_max_queue_delay 1s;
                         proxy_pass http://b; }
        location /v2 { mark_batch v2; proxy_pass http://b; }
        location /large { mark_batch v1; mark_max_batch_bytes 8m;
                          mark_max_queue_delay 300ms; proxy_pass http://b; }
        location /few { mark_batch v1; mark_max_queue_size 4;
                        proxy_pass http://b; }
        location /late { mark_batch v1; mark_slo 300ms;
                         mark_timeout_action reject; proxy_pass http://b; }

        location /grows { mark_batch v1; mark_max_batch_bytes 8m;
                          proxy_pass http://b; }
        location /busy-all { access_log off; mark_batch v1;
                             mark_max_queue_delay auto;
                             proxy_pass http://b; }

        location /down {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
            error_page 502 /sorry;
        }

        location /sorry { return 502 "sorry $pid"; }
        location = /mark_status { access_log off; mark_status; }
        location = /metrics { access_log off; mark_status prometheus; }
    }
}
EOC

$conf =~ s/(\d%%) http2 reuseport;/$1 reuseport; http2 on;/
    if $t->has_version('1.25.1');

(my $on = $conf) =~ s/SHARE/on/;
$t->conf($on)->run;
$t->allow(qr/\[error\]/);

my ($p, $p2) = ($t->port(8080), $t->port(8443));
my (@c, @r, @log, $s);

# One batch of two clients of each worker.

@c = spread(2);
@r = ask('/one', 1 .. 8);
answers('one batch', \@r, 1 .. 8);
is(scalar($b->requests), 1, 'one batch: of all workers');

@log = logged('/one', 8);
is(scalar(keys %{{ map { /^(\d+)/ => 1 } @log }}), WORKERS,
    'one batch: logged by each worker');
is(scalar(grep { / 200 n=8 rows=8 why=full from=127\.0\.0\.1:\d+ said=200$/ }
          @log), 8, 'one batch: and all log the same of it')
    or diag(@log);

$s = $t->location('/');
is($s->{requests}, 8, 'one batch: requests');
is($s->{batches}, 1, 'one batch: batches');
is($s->{dispatched}{full}, 1, 'one batch: full');
is($s->{carriers}{created}, 1, 'one batch: carriers');
is($s->{queue_seconds}{count}, 8, 'one batch: each has waited');
idle('one batch');

# Several rounds on the same connections, with rows of different sizes.

for my $round (1 .. 5) {
    @r = ask('/one', map { 100 * $round + $_ } 1 .. 8);
    answers("round $round", \@r, map { 100 * $round + $_ } 1 .. 8);
}

is(scalar($b->requests), 6, 'rounds: a batch each');

# Status line and headers.

@r = ask('/headers', 1 .. 8);
answers('headers', \@r, 1 .. 8);
is(scalar(grep { $_->{reason} eq 'Fine' } @r), 8, 'headers: status line');
is(scalar(grep {
    join('|', map { $_->[0] =~ /^X-Model$/i ? $_->[1] : () }
         @{$_->{header_list}}) eq 'm 1|m 2'
} @r), 8, 'headers: repeated');
is(scalar(grep { $_->{headers}{'content-type'}
                 eq 'application/json; charset=utf-8' } @r),
    8, 'headers: type');

# Tensors and their ids.

{
    my @ids = map { qq("id:$_") } 1 .. 8;
    my @bodies = map { v2_request($ids[$_], $_ + 0.5) } 0 .. 7;

    @r = ask('/v2/models/m/infer', @bodies);
    is(scalar(grep { $_->{status} == 200 } @r), 8, 'v2: answered');

    for my $i (0 .. 7) {
        my $len = $r[$i]{headers}{'inference-header-content-length'} || 0;
        my ($head, $data) = (substr($r[$i]{body}, 0, $len),
                             substr $r[$i]{body}, $len);

        like($head, qr/"id": *\Q$ids[$i]\E/, "v2: id of $i");
        is_deeply([ unpack 'f<*', $data ], [ $i + 0.5, -$i ],
                  "v2: data of $i");
    }

    is($t->location('/v2')->{batches}, 1, 'v2: one batch');
}

# Errors: what is everybody's, what is nginx's, what is one member's.

@r = ask('/busy', 1 .. 8);
is(join(' ', map { "$_->{status}/$_->{headers}{'retry-after'}" } @r),
    join(' ', ('503/7') x 8), '503: everybody has it');
is(join(' ', map { $_->{body} } @r), join(' ', ('{"error": "busy"}') x 8),
    '503: as it was');
is(scalar(grep { $_->{uri} eq '/busy' } $b->requests), 1, '503: asked once');

@r = ask('/down', 1 .. 8);
is(join(' ', map { $_->{status} } @r), join(' ', (502) x 8),
    '502: everybody has it');
is(join(' ', map { $_->{body} } @r),
    join(' ', map { "sorry $_->{worker}" } @c), '502: error_page of each');
@log = grep { / 502 / } logged('/sorry', 8);
is(scalar(grep { /from=127\.0\.0\.1:\d+ said=502/ } @log), 8,
    '502: logged with what was tried');

@r = ask('/apart', 1 .. 3, '"bad"', 5 .. 8);
answers('apart', [ @r[0 .. 2, 4 .. 7] ], 1 .. 3, 5 .. 8);
is($r[3]{status}, 400, 'apart: the guilty one');
cmp_ok($t->location('/apart')->{retries}, '>=', 7,
    'apart: all were tried again');

# A batch is not to blame because the culprit is another worker's.

for my $round (1 .. 5) {
    @r = ask('/apart', '"bad"', 2 .. 8);
    is(join(' ', map { $_->{status} } @r), join(' ', 400, (200) x 7),
        "another's fault, round $round");
}

is($t->location('/apart')->{passed}{unsplit}, 0,
    "another's fault: batched all the same");

# One who leaves before that takes nobody else along.

send_to(\@c, '/apart-gate', '"bad"', 2 .. 8);
ok($t->reached('/apart-gate', in_flight => 1, queued => 0),
    'left before: in flight');
replace(@c[1, 2]);
ok($t->reached('/apart-gate', aborted => 2), 'left before: two left');
$t->write_file('gate', '');
@r = map { $_->response } @c[0, 3 .. 7];
is(join(' ', map { $_->{status} } @r), join(' ', 400, (200) x 5),
    'left before: the others are answered');
unlink $gate;
idle('errors');

# Over mark_max_queue_size, whoever came last.

send_to([ @c[0 .. 3] ], '/few', 1 .. 4);
ok($t->reached('/few', queued => 4), 'limit: four wait');
is($t->status->{shared}{cells}, 4, 'limit: in cells');
send_to([ $c[4] ], '/few', 5);
@r = $c[4]->response;
is($r[0]{status}, 503, 'limit: the fifth is rejected');
is($r[0]{headers}{'x-mark-reason'}, 'rejected', 'limit: and told why');
is($t->location('/few')->{rejected}, 1, 'limit: counted');
replace(@c[0 .. 3]);
ok($t->reached('/few', queued => 0), 'limit: all left');

# Too late: rejected by whoever looks, answered by its own worker.

@r = ask_some([ @c[0, 2, 4, 6] ], '/late', 1 .. 4);
is(join(' ', map { $_->{status} } @r), join(' ', (503) x 4), 'late');
is($t->location('/late')->{timeouts}, 4, 'late: counted');
idle('late');

# Clients that leave: while they wait,

send_to(\@c, '/one', map { [ $_ ] } 1 .. 7);
ok($t->reached('/', queued => 7), 'leaving: waiting');
replace(@c[0, 3]);
ok($t->reached('/', queued => 5, aborted => 2), 'leaving: two left');
is($t->status->{shared}{cells}, 5, 'leaving: and their cells');
send_to([ @c[0, 3], $c[7] ], '/one', 11, 12, 13);
@r = map { $_->response } @c;
answers('leaving: waiting', \@r, 11, 2, 3, 12, 5, 6, 7, 13);
is(scalar(@{($b->requests)[-1]{rows}}), 8,
    'leaving: the backend has eight rows');
idle('leaving: waiting');

# while they ride, in a batch of another worker,

my $before = $t->location('/gate')->{aborted};

send_to(\@c, '/gate', 1 .. 8);
ok($t->reached('/gate', in_flight => 1, queued => 0), 'riding');
replace(@c[1, 4, 6]);
ok($t->reached('/gate', aborted => $before + 3), 'riding: three left');
is($t->location('/gate')->{in_flight}, 1, 'riding: the others stay');
$t->write_file('gate', '');
@r = map { $_->response } @c[0, 2, 3, 5, 7];
answers('riding', \@r, 1, 3, 4, 6, 8);
is($t->location('/gate')->{failed_batches}, 0, 'riding: nothing failed');
idle('riding');

# and all of them, which ends the request to the backend.

send_to(\@c, '/slow', 1 .. 8);
ok($t->reached('/slow', in_flight => 1), 'all leave: in flight');
replace(@c);
ok($t->reached('/slow', in_flight => 0, aborted => 8), 'all leave: ended');
idle('all leave');
$b->restart;

# In the moment of the answer: whoever is too late to leave has it.

for my $round (1 .. 30) {
    delete $_->{new} for @c;
    send_to(\@c, '/one', map { 1000 * $round + $_ } 1 .. 7);
    $t->reached('/', queued => 7) if $round % 3 == 0;
    send_to([ $c[7] ], '/one', 1000 * $round + 8);

    my @leave = map { $c[($round + $_) % 8] } 0, 3;
    my %gone = map { $_ => 1 } @leave;

    replace(@leave);

    my @stay = grep { !$gone{$c[$_]} && !$c[$_]{new} } 0 .. 7;

    # those that left before the batch was full have made it wait
    $s = 0;
    until ($t->location('/')->{queued} == 0) {
        die "the batch is never full\n" if $s++ > 8;
        my $more = extra();
        $more->send(method => 'POST', uri => '/one',
                    body => '{"instances": [0]}');
        wait_for(sub { $t->location('/')->{queued} == 0 }, 0.2);
    }

    @r = map { $c[$_]->response } @stay;
    my @wrong = grep {
        $r[$_]{status} != 200
            || $r[$_]{body} ne '{"predictions": ['
               . (1000 * $round + $stay[$_] + 1) . ']}'
    } 0 .. $#r;
    is(scalar @wrong, 0, "at its answer, round $round")
        or diag(map { "$_->{status} $_->{body} $_->{error}\n" } @r[@wrong]);
}

extra(0);
idle('at its answer');

# HTTP/2: streams of connections to two workers; resets and lost connections.

{
    my @h = spread2(2);

    $t->write_file('gate', '');
    my @ids = map { $h[$_ % 2]->post('/gate', qq({"instances": [$_]})) }
        0 .. 7;
    my @got = map { $h[$_ % 2]->response($ids[$_]) } 0 .. 7;
    answers('streams', \@got, 0 .. 7);

    @ids = map { $h[$_ % 2]->post('/one', qq({"instances": [$_]})) } 0 .. 6;
    ok($t->reached('/', queued => 7), 'streams: waiting');
    $before = $t->location('/')->{aborted};
    $h[1]->reset($ids[3]);
    ok($t->reached('/', queued => 6, aborted => $before + 1),
        'streams: one is reset');
    $ids[3] = $h[1]->post('/one', '{"instances": [33]}');
    $ids[7] = $h[1]->post('/one', '{"instances": [7]}');
    @got = map { $h[$_ % 2]->response($ids[$_]) } 0 .. 7;
    answers('streams: reset', \@got, 0, 1, 2, 33, 4 .. 7);

    unlink $gate;
    @ids = map { $h[$_ % 2]->post('/gate', qq({"instances": [$_]})) } 0 .. 7;
    ok($t->reached('/gate', in_flight => 1), 'streams: riding');
    $before = $t->location('/gate')->{aborted};
    $h[0]->close;
    ok($t->reached('/gate', aborted => $before + 4),
        'streams: a connection is lost');
    $t->write_file('gate', '');
    @got = map { $h[1]->response($ids[$_]) } 1, 3, 5, 7;
    answers('streams: the other', \@got, 1, 3, 5, 7);
    $h[1]->close;
    idle('streams');
}

# Metrics.

like(http_get($p, '/metrics')->{body},
    qr/^nginx_mark_shared_queues\ \d+\n .* ^nginx_mark_shared_cells\ 0\n .*
       ^nginx_mark_shared_free_bytes\ \d{7,}\n/msx, 'Prometheus');

# A zone that is too small: what has no room in it is served all the same.

{
    (my $small = $conf) =~ s/SHARE/on 1m/;
    $t->conf($small);
    ok($t->reload, 'small zone');
    @c = spread(2);

    my $free = $t->status->{shared}{bytes_free};
    cmp_ok($free, '<', 1024 * 1024, 'small zone: its size');

    # larger than an eighth of it, and just small enough for some

    for my $size (200, 90) {
        my @big = map { qq(["$_) . 'x' x ($size * 1024) . '"]' } 1 .. 8;

        @r = ask('/large', @big);
        answers("$size kB", \@r, @big);
    }

    cmp_ok($t->location('/large')->{unshared}, '>=', 8,
        'small zone: counted');

    @r = ask('/large', 1 .. 8);
    answers('small zone: small ones', \@r, 1 .. 8);

    # answers that have no room: each is asked for again, alone

    $before = $t->location('/grows')->{retries};
    @r = ask('/grows', 1 .. 8);
    answers('large answers', \@r, map { '"' . $_ x 200000 . '"' } 1 .. 8);
    cmp_ok($t->location('/grows')->{retries}, '>=', 6,
        'large answers: tried again');
    cmp_ok($t->location('/grows')->{unshared}, '>=', 1,
        'large answers: counted');

    # what has no room does not wait for ever behind those that have and keep
    # the backend busy, from other workers alone

    my @busy = spread(12);
    my $pid = closed_loop('/busy-all', map { @busy[4 * $_, 4 * $_ + 1] }
                          0 .. 11);

    ok($t->reached('/busy-all', in_flight => 1), 'small zone: busy');
    @r = ask_some([ @c[2, 3] ], '/busy-all',
                  map { '"' . 'y' x 200000 . "$_\"" } 1, 2);
    answers('small zone: beside others', \@r,
            map { '"' . 'y' x 200000 . "$_\"" } 1, 2);
    is(waitpid($pid, POSIX::WNOHANG()), 0,
        'small zone: and while they go on');
    kill 'KILL', $pid;
    waitpid $pid, 0;
    $_->close for @busy;

    idle('small zone');
    is($t->status->{shared}{bytes_free} > $free - 100 * 1024, 1,
        'small zone: all is free again');
}

# Not shared: each worker has batches of its own.

for my $how ('off', 'one worker') {
    (my $off = $conf) =~ s/SHARE/$how eq 'off' ? 'off' : 'on'/e;
    $t->{workers} = 1 if $how eq 'one worker';

    $t->conf($off);
    ok($t->reload, $how);
    is($t->status->{shared}, undef, "$how: nothing is shared");
    unlike(http_get($p, '/metrics')->{body}, qr/nginx_mark_shared/,
        "$how: nor in Prometheus' text");

    next if $how ne 'off';

    $before = $t->location('/wait')->{batches};
    @c = spread(2);
    @r = ask('/wait', 1 .. 8);
    answers($how, \@r, 1 .. 8);
    is($t->location('/wait')->{batches}, $before + WORKERS,
        "$how: a batch a worker");
}

done_testing();


# --- connections ------------------------------------------------------------

# n connections to each worker, in turn; those that are not needed are closed

sub spread {
    my ($n) = @_;

    my (%of, @workers);

    @workers = $t->workers;

    until (@workers == grep { @{$of{$_} || []} >= $n } @workers) {
        my $c = connected();
        push @{$of{$c->{worker}}}, $c;
    }

    return map { my $i = $_; map { $of{$_}[$i] } @workers } 0 .. $n - 1;
}


sub connected {
    my $c = Test::Mark::HTTP->new($p);
    my $r = $c->get('/pid');

    $c->{worker} = $r->{body};

    return $c;
}


# others, to the same workers, in place of these, which close

sub replace {
    my @gone = @_;

    $_->close for @gone;

    for my $gone (@gone) {
        my $c;

        do { $c = connected() } until $c->{worker} == $gone->{worker};

        $c->{new} = 1;
        $_ == $gone and $_ = $c for @c;
    }
}


{
    my @extra;

    sub extra {
        if (@_) {
            $_->response for @extra;
            @extra = ();
            return;
        }

        push @extra, Test::Mark::HTTP->new($p);
        return $extra[-1];
    }
}


sub spread2 {
    my ($n) = @_;

    my %of;

    while (keys %of < $n) {
        my $h = Test::Mark::HTTP2->new($p2);
        my $pid = $h->response($h->get('/pid'))->{body};
        $of{$pid} ||= $h;
    }

    return values %of;
}


# --- requests ---------------------------------------------------------------

# sends these rows (or whole bodies), one from each connection

sub send_to {
    my ($connections, $uri, @rows) = @_;

    for my $i (0 .. $#rows) {
        my $row = ref $rows[$i] eq 'ARRAY' ? $rows[$i][0] : $rows[$i];
        my %more = ref $rows[$i] eq 'HASH' ? %{$rows[$i]}
            : (body => qq({"instances": [$row]}));

        $connections->[$i]->send(method => 'POST', uri => $uri, %more);
    }
}


sub ask_some {
    my ($connections, $uri, @rows) = @_;

    send_to($connections, $uri, @rows);

    return map { $_->response } @$connections;
}


sub ask { ask_some(\@c, @_) }


sub answers {
    my ($name, $r, @rows) = @_;

    my @wrong = grep {
        $r->[$_]{status} != 200
            || $r->[$_]{body} ne qq({"predictions": [$rows[$_]]})
    } 0 .. $#rows;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(scalar @wrong, 0, "$name: each has its answer")
        or diag(map { substr("$_: $r->[$_]{status} $r->[$_]{body}", 0, 200)
                      . ' ' . ($r->[$_]{error} || '') . "\n" } @wrong);
}


sub logged {
    my ($uri, $n) = @_;

    my @found;

    wait_for(sub {
        @found = grep { /^\d+ \Q$uri\E / } split /^/, $t->access_log;
        chomp @found;
        return @found >= $n;
    });

    return @found;
}


# in a process of its own, until it is killed

sub closed_loop {
    my ($uri, @clients) = @_;

    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;
    return $pid if $pid;

    send_to(\@clients, $uri, 1 .. @clients);

    for (my $i = 0;; $i = ($i + 1) % @clients) {
        $clients[$i]->response->{complete} or POSIX::_exit(1);
        send_to([ $clients[$i] ], $uri, $i);
    }
}


sub wait_for_gate {
    for (1 .. 2000) {
        last if -e $gate;
        select undef, undef, undef, 0.01;
    }
}


# nothing is left anywhere

sub idle {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $now;

    ok(wait_for(sub {
        $now = $t->status;
        return !$now->{queued} && !$now->{in_flight}
            && !$now->{shared}{cells}
            && $now->{carriers}{created} == $now->{carriers}{freed};
    }), "$name: nothing is left")
        or diag($json->encode({ map { $_ => $now->{$_} }
                                qw(queued in_flight shared carriers) }));
}


# --- V2 ---------------------------------------------------------------------

sub v2_request {
    my ($id, $x) = @_;

    my $data = pack 'f<*', $x, -($x - 0.5);
    my $head = qq({"id": $id, "inputs": [{"name": "x", "datatype": "FP32", )
        . qq("shape": [1, 2], "parameters": {"binary_data_size": 8}}], )
        . qq("parameters": {"binary_data_output": true}});

    return {
        body => $head . $data,
        headers => { 'Content-Type' => 'application/octet-stream',
                     'Inference-Header-Content-Length' => length $head },
    };
}


# the tensor comes back under another name

sub tensors {
    my ($req) = @_;

    my $len = $req->{headers}{'inference-header-content-length'};
    my $in = $json->decode(substr $req->{body}, 0, $len);
    my $data = substr $req->{body}, $len;
    my $rows = $in->{inputs}[0]{shape}[0];
    my $id = defined $in->{id} ? '"id": ' . $json->encode([ $in->{id} ]) : '';

    $id =~ s/\[(.*)\]/$1, /;

    my $head = qq({"model_name": "m", $id"outputs": [{"name": "y", )
        . qq("datatype": "FP32", "shape": [$rows, 2], )
        . '"parameters": {"binary_data_size": ' . length($data) . '}}]}';

    return {
        body => $head . $data,
        headers => { 'Content-Type' => 'application/octet-stream',
                     'Inference-Header-Content-Length' => length $head },
    };
}
