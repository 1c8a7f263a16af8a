#!/usr/bin/perl

# The tests' own tools: the fixture, the clients and the fake model server.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::HTTP2;
use Time::HiRes qw(time);

my $t = Test::Mark->new(workers => 2);
my $tries = 0;

my $b = $t->backend(8081, handler => sub {
    my ($req) = @_;

    my %how = (
        '/slow' => { delay => 0.3 },
        '/chunked' => { chunked => 7 },
        '/dribble' => { dribble => 3 },
        '/dribbled-chunks' => { dribble => 1, chunked => 5 },
        '/close' => { close => 1 },
        '/cut' => { cut => 90 },
        '/cut-chunked' => { chunked => 4, cut => 110 },
        '/reset' => { reset => 1 },
        '/reset-late' => { reset => 1, cut => 90 },
        '/before' => { close_before => 1 },
        '/hang' => { hang => 1 },
        '/raw' => { raw => "HTTP/1.0 200 OK\r\n\r\nraw", then_close => 1 },
        '/garbage' => { raw => "\0\1\2 garbage\r\n\r\n", then_close => 1 },
        '/few' => { rows => [1] },
        '/gzip' => { gzip => 1 },
        '/teapot' => { status => 418, body => 'tea',
                       headers => { 'X-Pot' => 'short' } },
        '/204' => { status => 204 },
    );

    my ($path) = $req->{uri} =~ m!^(/[^?/]*)!;

    # the process of the backend keeps its state
    return { status => $tries++ ? 200 : 503 } if $path eq '/once';

    return $how{$path};
});

my $serial = $t->backend(8082, serial => 1, delay => 0.1);

# only the second backend's location needs what other tests look at

my $conf = <<'EOC';
%%GLOBALS%%

events {
    worker_connections 512;
}

http {
    %%HTTP%%

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 8;
    }

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        client_max_body_size 8m;

        location / {
            proxy_pass http://b;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout 2s;
        }

        location /serial {
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
        }

        location /generation {
            return 200 one;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_8443%% http2;
        client_max_body_size 8m;

        location / {
            proxy_pass http://b;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            add_header X-Long "a header, long enough to be compressed";
        }
    }
}
EOC

$conf =~ s/ http2;/; http2 on;/ if $t->has_version('1.25.1');

$t->conf($conf)->run;

my $p = $t->port(8080);
my $rows = '[1.0, "a\"]b", {"k": [1, 2]}, [[], {}], -0.50e+3, null]';
my $echo = '{"predictions": [1.0, "a\"]b", {"k": [1, 2]}, [[], {}], '
    . '-0.50e+3, null]}';
my $body = qq({"signature_name": "x", "instances" : $rows});

my ($r, @r, $c);

# The echo, and what is remembered.

$r = http_post($p, '/v1', $body, 'X-Test' => 'yes');
is($r->{status}, 200, 'answered');
is($r->{body}, $echo, 'rows come back byte for byte');
is($r->{headers}{'content-type'}, 'application/json', 'a header');
ok($r->{complete} && !$r->{error}, 'complete');

my ($seen) = $b->requests;
is($seen->{method}, 'POST', 'method remembered');
is($seen->{uri}, '/v1', 'uri remembered');
is($seen->{headers}{'x-test'}, 'yes', 'header remembered');
is($seen->{body}, $body, 'body remembered');
is(scalar @{$seen->{rows}}, 6, 'rows found');
is($seen->{rows}[1], '"a\"]b"', 'a row with brackets and quotes in it');

is(http_post($p, '/v1', '{"instances": []}')->{body},
    '{"predictions": []}', 'no rows');
is(http_post($p, '/v1', '{"other": 1}')->{status}, 400, 'no list');
is(http_post($p, '/v1', "[1, \0")->{status}, 400, 'no JSON');
is(scalar($b->requests), 4, 'four requests');
$b->clear;
is(scalar($b->requests), 0, 'forgotten');

# Big bodies both ways.

my $big = '{"instances": [' . join(',', map { "[$_, 0.25]" } 1 .. 50000)
    . ']}';
(my $big_echo = $big) =~ s/^.*?\[//;
$big_echo = '{"predictions": [' . join(', ', map { "[$_, 0.25]" } 1 .. 50000)
    . ']}';
ok(http_post($p, '/v1', $big)->{body} eq $big_echo, 'a big body');
ok(http_request($p, uri => '/v1', body => $big, chunked => 1000)->{body}
    eq $big_echo, 'a big body in chunks');

# Answers of all shapes through a plain proxy.

for my $uri (qw(/chunked /dribble /dribbled-chunks /close)) {
    is(http_post($p, $uri, $body)->{body}, $echo, $uri);
}

is(http_post($p, '/few', $body)->{body}, '{"predictions": [1]}', '/few');
is(http_post($p, '/raw', $body)->{body}, 'raw', '/raw');

$r = http_post($p, '/gzip', $body);
is($r->{headers}{'content-encoding'}, 'gzip', '/gzip');
is(substr($r->{body}, 0, 2), "\x1f\x8b", '/gzip: body');

$r = http_post($p, '/teapot', $body);
is("$r->{status} $r->{headers}{'x-pot'} $r->{body}", '418 short tea',
    '/teapot');
is(http_post($p, '/204', $body)->{status}, 204, '/204');
is(http_post($p, '/once', $body)->{status}, 503, 'first try');
is(http_post($p, '/once', $body)->{status}, 200, 'second try');

for my $uri (qw(/reset /before)) {
    is(http_post($p, $uri, $body)->{status}, 502, $uri);
}

# nginx may take this for HTTP/0.9
$r = http_post($p, '/garbage', $body);
ok($r->{status} == 502 || $r->{raw} =~ /garbage/, '/garbage');

for my $uri (qw(/cut /cut-chunked /reset-late)) {
    $r = http_post($p, $uri, $body);
    ok(!$r->{complete} || $r->{status} == 502, $uri)
        or diag($r->{raw});
}

my $start = time;
is(http_post($p, '/hang', $body)->{status}, 504, '/hang');
cmp_ok(time - $start, '>=', 1.8, 'waited for it');

# Connections.

$c = Test::Mark::HTTP->new($p);
is($c->post('/v1', $body)->{body}, $echo, 'keep-alive, first');
is($c->post('/chunked', $body)->{body}, $echo, 'keep-alive, second');
is($c->get('/generation')->{body}, 'one', 'keep-alive, third');

$c->write("GET /generation HTTP/1.1\r\nHost: a\r\n\r\n" x 3);
is(join(' ', map { $c->response->{body} } 1 .. 3), 'one one one', 'pipeline');
ok(!$c->closed, 'still open');
$c->reset;

$r = http($p, "HEAD /generation HTTP/1.0\r\n\r\n");
is($r->{status}, 200, 'bytes as they are');
is($r->{body}, '', 'no body of HEAD');
is(http_get(free_port(), '/')->{status}, 0, 'nobody listens');

# Many at once.

$b->clear;
$start = time;
@r = http_many([map { { uri => '/slow', body => qq({"instances":[$_]}) } }
    1 .. 20], port => $p);
is(join(' ', map { $_->{body} =~ /(\d+)/ } @r), join(' ', 1 .. 20),
    'each its own answer');
cmp_ok(time - $start, '<', 3, 'side by side');
is(scalar($b->requests), 20, 'all of them');
cmp_ok($b->connections, '>', 10, 'on many connections');

@r = http_many([map { { uri => '/v1', body => $body } } 1 .. 30], port => $p,
    concurrency => 3, keepalive => 1);
is(scalar(grep { $_->{body} eq $echo } @r), 30, 'a few at once, kept alive');

@r = http_many([
    { uri => '/slow', body => $body },
    { uri => '/slow', body => $body, leave => 0.05 },
    { uri => '/slow', body => $body, leave => 0.05, how => 'reset' },
    { uri => '/v1', body => $body, at => 0.1 },
], port => $p);
is(join(' ', map { $_->{error} || $_->{status} } @r), '200 left left 200',
    'some go away');
cmp_ok($r[3]{start}, '>=', 0.1, 'not before its time');
is($r[0]{number}, 4, 'the slow one was the last');

# A backend that does one thing at a time.

$start = time;
@r = http_many([map { { uri => '/serial', body => $body } } 1 .. 4],
    port => $p);
is(scalar(grep { $_->{status} == 200 } @r), 4, 'serial: all answered');
cmp_ok(time - $start, '>=', 0.35, 'serial: one after the other');

# A backend that goes and comes.

$serial->stop;
is(http_post($p, '/serial', $body)->{status}, 502, 'backend gone');
$serial->start;
is(http_post($p, '/serial', $body)->{status}, 200, 'backend back');

# HTTP/2.

my $h = Test::Mark::HTTP2->new($t->port(8443));
my @ids = map { $h->post('/slow', qq({"instances":[$_]})) } 1 .. 10;
@r = map { $h->response($_) } @ids;
is(join(' ', map { $_->{body} =~ /(\d+)/ } @r), join(' ', 1 .. 10),
    'h2: streams');
is($r[3]{headers}{'x-long'}, 'a header, long enough to be compressed',
    'h2: header');
is($r[3]{headers}{'content-type'}, 'application/json', 'h2: table');

my $id = $h->post('/slow', $body);
my $other = $h->post('/slow', $body);
$h->reset($id);
is($h->response($other)->{body}, $echo, 'h2: after a reset');
ok(!$h->stream($id)->{complete}, 'h2: the reset one has no answer');
$r = $h->response($h->post('/v1', $big));
ok($r->{body} eq $big_echo, 'h2: a big body both ways');
ok($h->ping, 'h2: ping');
$h->close;

$h = Test::Mark::HTTP2->new($t->port(8443), window => 10, auto_window => 0);
$id = $h->post('/v1', $body);
$h->wait(sub { length $h->stream($id)->{body} >= 10 });
is($h->stream($id)->{body}, substr($echo, 0, 10), 'h2: window');
$h->window_update($id, 1000);
is($h->response($id)->{body}, $echo, 'h2: window update');
$h->close;

# nginx itself.

my ($status, $output) = $t->test_conf("%%GLOBALS%%\nevents { }\nnonsense;\n");
is($status, 1, 'a bad configuration');
like($output, qr/unknown directive "nonsense"/, 'and why');
($status, $output) = $t->test_conf($conf);
is($status, 0, 'a good configuration') or diag($output);

my @workers = $t->workers;
is(scalar @workers, 2, 'two workers');
$conf =~ s/200 one/200 two/;
ok($t->reload($conf), 'reload');
is(http_get($p, '/generation')->{body}, 'two', 'new configuration');
ok($t->wait_gone(@workers), 'old workers left');

ok(!$t->reload("%%GLOBALS%%\nevents { }\nnonsense;\n"), 'refused reload');
is(http_get($p, '/generation')->{body}, 'two', 'configuration kept');
$t->allow(qr/\[emerg\].*"nonsense"/);

@workers = $t->workers;
ok($t->kill_worker($workers[0]), 'a worker dies and is replaced');
is(scalar(grep { $_ == $workers[0] } $t->workers), 0, 'it is another');

like($t->log, qr/\[debug\]/, 'debug log');
ok($t->wait_access_log(qr!POST /v1 !), 'access log');
cmp_ok($t->open_files, '>', 5, 'open files');
cmp_ok($t->resident, '>', 1000, 'resident memory');

ok($t->stop, 'graceful end');
is(http_get($p, '/generation')->{status}, 0, 'nobody there');
ok($t->conf($conf)->run, 'started again');
ok($t->term, 'fast end');

# What the fixture is there for: it notices.

my $bad = Test::Mark->new(leak_check => 0);
$bad->conf("%%GLOBALS%%\nevents { }\n")->run;
$bad->signal('SEGV', ($bad->workers)[0]);
# AddressSanitizer makes an exit of it

my $crash = qr/exited (?:on signal 11|with code 1)/;
ok($bad->wait_log($crash), 'a crash');

my @problems = $bad->close_down;
like("@problems", $crash, 'a crash is noticed');
$bad->{reported} = 1;

done_testing;
