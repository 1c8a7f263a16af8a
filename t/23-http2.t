#!/usr/bin/perl

# HTTP/2 clients: many streams of one connection in one batch, resets, lost
# connections, flow control; the backend sees none of it.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::HTTP;
use Test::Mark::HTTP2;

my $t = Test::Mark->new;

plan(skip_all => 'nginx without HTTP/2')
    unless $t->has_option('http_v2_module');

my $gate = $t->dir . '/gate';

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

my $conf = <<'EOC';
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    log_format marks '$uri $status $server_protocol $mark_batch_size';
    access_log %%DIR%%/access.log marks;

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 8;
    }

    client_max_body_size 8m;
    client_body_buffer_size 4m;

    mark_max_queue_delay 30s;
    mark_max_batch_size 8;

    server {
        listen 127.0.0.1:%%PORT_8443%% http2;
        listen 127.0.0.1:%%PORT_8080%%;

        proxy_http_version 1.1;
        proxy_set_header Connection "";

        location / {
            mark_batch v1;
            proxy_pass http://b;
            proxy_set_header Connection "";
            proxy_set_header X-Http2 "<$http2>";
            proxy_set_header X-Protocol $server_protocol;
            error_page 418 = /never;
        }

        location /poison {
            mark_batch v1;
            proxy_pass http://b;
        }

        location /1.0 {
            mark_batch v1;
            proxy_http_version 1.0;
            proxy_pass http://b;
        }

        location /down {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
            error_page 502 /error;
        }

        location /error {
            return 503 "sorry";
        }

        location = /mark_status {
            mark_status;
        }
    }
}
EOC

$conf =~ s/(\d|%) http2;/$1; http2 on;/ if $t->has_version('1.25.1');

$t->conf($conf)->run;
$t->allow(qr/\[error\]/);

my ($h, @h, @r, @ids, $id, $seen, $before);

# Eight streams of one connection share a batch.

$h = connection();
@ids = posts($h, '/one', 0 .. 7);
answers('streams', $h, [\@ids, 0 .. 7]);

($seen) = $b->requests;
is(scalar($b->requests), 1, 'streams: one request');
is("@{$seen->{rows}}", '0 1 2 3 4 5 6 7', 'streams: in order');
is($seen->{version}, '1.1', 'upstream: version');
is($seen->{method}, 'POST', 'upstream: method');
is($seen->{uri}, '/one', 'upstream: uri');
is($seen->{headers}{host}, 'b', 'upstream: host');
is($seen->{headers}{'content-length'}, length $seen->{body},
    'upstream: length');
is($seen->{headers}{'x-http2'}, '<h2c>', 'upstream: $http2 of the client');
is($seen->{headers}{'x-protocol'}, 'HTTP/1.1', 'upstream: protocol');
is(scalar(grep { $_->[0] =~ /^:/ } @{$seen->{header_list}}), 0,
    'upstream: no pseudo headers');
ok(logged('/one', 200, 'HTTP/2.0 8', 8), 'streams: logged');

# And again, on the same connection, to a backend of HTTP/1.0.

@ids = posts($h, '/1.0', 10 .. 17);
answers('1.0', $h, [\@ids, 10 .. 17]);
is(($b->requests)[-1]{version}, '1.0', '1.0: version');
ok($h->ping, 'still open');
$h->close;

# Three connections, and HTTP/1.1 beside them.

$b->clear;
@h = map { connection() } 0 .. 1;

@ids = map { [] } 0 .. 1;
my @h1;

for my $n (0 .. 7) {
    if ($n % 4 == 3) {
        my $c = Test::Mark::HTTP->new($t->port(8080));
        $c->send(uri => '/mixed', body => qq({"instances": [$n]}));
        push @h1, $c;

    } else {
        push @{$ids[$n % 2]}, posts($h[$n % 2], '/mixed', $n);
    }

    $t->reached('/', queued => $n + 1) if $n < 7;
}

answers('mixed, first', $h[0], [$ids[0], 0, 2, 4, 6]);
answers('mixed, second', $h[1], [$ids[1], 1, 5]);
is(join(' ', map { $_->response->{body} } @h1),
    '{"predictions": [3]} {"predictions": [7]}', 'mixed, HTTP/1.1');
is(join('|', map { "@{$_->{rows}}" } $b->requests), '0 1 2 3 4 5 6 7',
    'mixed: one batch');
ok(logged('/mixed', 200, 'HTTP/1.1 8', 2), 'mixed: logged, HTTP/1.1');
ok(logged('/mixed', 200, 'HTTP/2.0 8', 6), 'mixed: logged, HTTP/2');
$_->close for @h, @h1;

# RST_STREAM of those that wait: first, middle, last.

$b->clear;
$before = $t->location('/');
$h = connection();
@ids = posts($h, '/reset', 0 .. 4);
ok($t->reached('/', queued => 5), 'reset: queued');
$h->reset($ids[$_]) for 0, 2, 4;
ok($t->reached('/', queued => 2), 'reset: out of the queue');
is($t->location('/')->{aborted} - $before->{aborted}, 3, 'reset: aborted');
push @ids, posts($h, '/reset', 5 .. 10);
answers('reset', $h, [[@ids[1, 3, 5 .. 10]], 1, 3, 5 .. 10]);
is(join('|', map { "@{$_->{rows}}" } $b->requests), '1 3 5 6 7 8 9 10',
    'reset: one batch');
ok(logged('/reset', 499, 'HTTP/2.0 -', 3), 'reset: logged');
is(scalar(grep { $h->stream($ids[$_])->{complete} } 0, 2, 4), 0,
    'reset: no answers to these');

# RST_STREAM of those in flight: the leader and others, then all.

for ([0], [3], [0, 1, 7], [0 .. 7]) {
    my @gone = @$_;
    my %gone = map { $_ => 1 } @gone;
    my @stay = grep { !$gone{$_} } 0 .. 7;
    my $uri = '/flying/' . join '-', @gone;

    $b->clear;
    $b->freeze;
    $before = $t->location('/');
    @ids = posts($h, $uri, 0 .. 7);
    ok($t->reached('/', in_flight => 1), "$uri: in flight");

    $h->reset($ids[$_]) for @gone;
    my $aborted = $t->reached('/', aborted => $before->{aborted} + @gone);

    $b->resume;
    ok($aborted, "$uri: aborted");
    answers($uri, $h, [[@ids[@stay]], @stay]);
    ok(logged($uri, 499, 'HTTP/2.0 8', scalar @gone), "$uri: logged");
    over($uri);
}

ok($h->ping, 'still open');
$h->close;

# A connection that is lost with several streams in one batch, and with others
# of another connection beside them.

for my $when ('queued', 'in flight', 'answered') {
    for my $how ('close', 'abort') {
        my $name = "lost when $when, $how";
        (my $uri = "/$name") =~ tr/, /-/;

        $b->clear;
        $b->freeze;
        $before = $t->location('/');

        my ($lost, $kept) = (connection(), connection());
        my (@lost, @kept);

        for my $n (0 .. ($when eq 'queued' ? 6 : 7)) {
            push @lost, posts($lost, $uri, $n) if $n % 3 != 1;
            push @kept, posts($kept, $uri, $n) if $n % 3 == 1;
            $t->reached('/', queued => $n + 1) if $n < 7;
        }

        my $n = @lost;

        if ($when eq 'queued') {
            $lost->$how;
            ok($t->reached('/', queued => 2), "$name: out of the queue");
            push @kept, posts($kept, $uri, 10 .. 15);
            ok($t->reached('/', in_flight => 1), "$name: in flight");
            $b->resume;
            answers($name, $kept, [\@kept, 1, 4, 10 .. 15]);

        } elsif ($when eq 'in flight') {
            ok($t->reached('/', in_flight => 1), "$name: in flight");
            $lost->$how;
            ok($t->reached('/', aborted => $before->{aborted} + $n),
                "$name: aborted");
            $b->resume;
            answers($name, $kept, [\@kept, 1, 4, 7]);

        } else {

            # nginx sees the answer and the loss in one round, or finds
            # out when it writes

            ok($t->reached('/', in_flight => 1), "$name: in flight");
            my ($worker) = $t->workers;
            $t->freeze($worker);
            $b->resume;
            $b->wait_requests(1);
            select undef, undef, undef, 0.05;
            $lost->$how;
            $t->thaw($worker);
            answers($name, $kept, [\@kept, 1, 4, 7]);
        }

        ok(logged($uri, '(?:200|499)', '\S+ \S+', $n + @kept),
            "$name: logged");
        over($name);
        $kept->close;
    }
}

# Lost while they wait for another try.

$before = $t->location('/poison');
$h = connection();
@ids = posts($h, '/poison', 0 .. 7);
ok($t->reached('/poison', retries => $before->{retries} + 4), 'retries');
is($t->location('/poison')->{queued}, 4, 'retries: others wait');
$h->reset($ids[5]);
ok($t->reached('/poison', queued => 3), 'retries: one of these reset');
$h->abort;
ok($t->reached('/poison', queued => 0, in_flight => 0), 'retries: all gone');
is($t->location('/poison')->{aborted} - $before->{aborted}, 8,
    'retries: aborted');
$t->write_file('gate', '');
ok(logged('/poison', 499, '\S+ \S+', 8), 'retries: logged');
over('retries');

$h = connection();
@ids = posts($h, '/poison', 0 .. 7);
answers('retries', $h, [\@ids, 0 .. 7]);
$h->close;

# Answers that flow control holds back do not hold up others.

$before = $t->location('/');
$h = Test::Mark::HTTP2->new($t->port(8443), window => 5, auto_window => 0);
my $other = connection();
@ids = posts($h, '/window', 0 .. 3);
$t->reached('/', queued => 4);
my @others = posts($other, '/window', 4 .. 7);
answers('window: others', $other, [\@others, 4 .. 7]);
$h->wait(sub {
    return !grep { length $h->stream($_)->{body} < 5 } @ids;
});
is(join(' ', map { $h->stream($_)->{body} } @ids),
    join(' ', ('{"pre') x 4), 'window: as much as fits');
ok($t->reached('/', in_flight => 0), 'window: the backend is free');
is($t->status->{carriers}{created}, $t->status->{carriers}{freed},
    'window: carriers are back');
$h->reset($ids[1]);
$h->window_update($ids[$_], 1000) for 0, 2, 3;
answers('window: opened', $h, [[@ids[0, 2, 3]], 0, 2, 3]);
is($t->location('/')->{aborted}, $before->{aborted}, 'window: nobody aborted');
$h->close;
$other->close;

# Large answers, more than the windows of stream and connection.

$h = connection();
my @rows = map { '"' . chr(ord('a') + $_) x 200000 . '"' } 0 .. 7;
@ids = posts($h, '/large', @rows);
@r = map { $h->response($_) } @ids;
is(scalar(grep { $r[$_]{body} eq qq({"predictions": [$rows[$_]]}) } 0 .. 7),
    8, 'large answers');

# The connection ends with large answers on their way.

@ids = posts($h, '/large', @rows);
$h->wait(sub { $h->stream($ids[0])->{body} ne '' });
$h->abort;
over('large: lost');

# The backend is not there: each has its own error page.

$h = connection();
@ids = posts($h, '/down', 0 .. 7);
@r = map { $h->response($_) } @ids;
is(join(' ', map { "$_->{status} $_->{body}" } @r),
    join(' ', ('502 sorry') x 8), 'error pages');
ok($h->ping, 'still open');

# GET passes; a stream with an empty body, too.

is($h->response($h->get('/get'))->{status}, 400, 'GET');
is(($b->requests)[-1]{method}, 'GET', 'GET: passed on');
$id = $h->request(uri => '/empty', method => 'POST', body => '');
is($h->response($id)->{status}, 400, 'empty body');
$h->close;

done_testing;


sub connection {
    return Test::Mark::HTTP2->new($t->port(8443));
}


sub posts {
    my ($c, $uri, @rows) = @_;

    return map { $c->post($uri, qq({"instances": [$_]})) } @rows;
}


# the streams have the answers to these rows

sub answers {
    my ($name, $c, $expected) = @_;

    my ($streams, @rows) = @$expected;
    my @got = map { $c->response($_) } @$streams;

    is(join(' ', map { "$_->{status} $_->{body}" } @got),
        join(' ', map { qq(200 {"predictions": [$_]}) } @rows),
        "$name: answers");
}


sub logged {
    my ($uri, $status, $rest, $n) = @_;

    my $found;

    wait_for(sub {
        $found = () = $t->access_log =~ /^\Q$uri\E $status $rest$/mg;
        return $found == $n;
    }) or diag("$uri: $found lines");

    return $found == $n;
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
