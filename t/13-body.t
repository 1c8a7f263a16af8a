#!/usr/bin/perl

# Bodies of requests: however they come, wherever nginx keeps them, they ride
# in a batch; what is no body to batch is passed on as it is.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Compress::Gzip qw(gzip);
use IO::Select;
use Test::Mark;
use Time::HiRes qw(sleep);

my $t = Test::Mark->new;
my $backend = $t->backend(8081);

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
    worker_connections 512;
}

http {
    %%HTTP%%

    upstream backend {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 16;
    }

    # Two make a batch; one alone would wait for longer than any test.

    mark_max_batch_size 2;
    mark_max_queue_delay 30s;

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        client_max_body_size 6m;

        location / {
            mark_batch v1;
            client_body_buffer_size 16k;
            proxy_pass http://backend;
        }

        location /file {
            mark_batch v1;
            client_body_in_file_only clean;
            proxy_pass http://backend;
        }

        location /tiny {
            mark_batch v1;
            client_body_buffer_size 100;
            proxy_pass http://backend;
        }

        location /single {
            mark_batch v1;
            client_body_in_single_buffer on;
            proxy_pass http://backend;
        }

        location /direct {
            mark_batch v1;
            mark_max_batch_bytes 64k;
            proxy_request_buffering off;
            proxy_pass http://backend;
        }

        location /big {
            mark_batch v1;
            client_body_buffer_size 4m;
            proxy_pass http://backend;
        }

        location /limit {
            mark_batch v1;
            client_max_body_size 100;
            proxy_pass http://backend;
        }

        location /upgrade {
            mark_batch v1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_pass http://backend;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

my $p = $t->port(8080);
my ($r, @r, $c, @seen, $n);


sub body { '{"instances": [' . join(', ', @_) . ']}' }

sub answer { '200 {"predictions": [' . join(', ', @_) . ']}' }

sub said { join "\n", map { "$_->{status} $_->{body}" } @_ }


# A request of some kind, and an ordinary one: they share one batch.

sub rides {
    my ($name, $uri, $row, %how) = @_;

    $n++;
    $backend->clear;

    my @r = http_many([
        { uri => $uri, body => body($row), %how },
        { uri => $uri, body => body("\"partner $n\"") },
    ], port => $p, timeout => 20);

    my ($want, $partner) = (answer($row), answer("\"partner $n\""));

    ok(said($r[0]) eq $want, "$name: answer")
        or diag(substr(said($r[0]), 0, 200), $r[0]{error} || '');
    is(said($r[1]), $partner, "$name: partner");
    batched($name);

    return $r[0];
}


# the backend received one request of two rows, with plain headers

sub batched {
    my ($name) = @_;

    my @seen = $backend->requests;
    my $h = $seen[0] ? $seen[0]{headers} : {};

    is(scalar @seen, 1, "$name: one request");
    is(scalar @{($seen[0] || {})->{rows} || []}, 2, "$name: of two rows");
    ok(($h->{'content-length'} || 0) == length(($seen[0] || {})->{body} || '')
        && !exists $h->{'transfer-encoding'} && !exists $h->{expect},
        "$name: its length");
}


my $row10k = '"' . 'a' x 10000 . '"';
my $row100k = '"' . 'b' x 100000 . '"';

# Where nginx keeps it.

rides('memory', '/', 1);
rides('more memory', '/', $row10k);
is($t->location('/')->{body_files}, 0, 'memory: no file');

rides('over the buffer', '/', $row100k);
is($t->location('/')->{body_files}, 1, 'over the buffer: a file');

rides('file', '/file', '[1, 2]');
rides('big file', '/file', $row100k);
is($t->location('/file')->{body_files}, 4, 'file: files');

rides('tiny buffer', '/tiny', $row10k);
rides('tiny buffer, chunked', '/tiny', $row10k, chunked => 30);
rides('single buffer', '/single', $row10k);
rides('single buffer, chunked', '/single', $row10k, chunked => 1000);

# In chunks.

rides('chunked', '/', 1, chunked => 1);
rides('chunks of 3', '/', '"chunks"', chunked => 3);
rides('chunks of 1000', '/', $row10k, chunked => 1000);
rides('chunks over the buffer', '/', $row100k, chunked => 5000);

rides('strange chunks', '/', '"x"', bytes => join '',
    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
    "Transfer-Encoding: chunked\r\n\r\n",
    "0004;a=b\r\n{\"in\r\nE\r\nstances\": [\"x\"\r\n02\r\n]}\r\n",
    "0\r\nTrailer: x\r\n\r\n");

# The versions of HTTP.

$r = rides('HTTP/1.0', '/', 10, version => '1.0');
is($r->{headers}{connection}, 'close', 'HTTP/1.0: closes');
$r = rides('HTTP/1.0, kept alive', '/', 11, version => '1.0',
    headers => { Connection => 'keep-alive' });
is($r->{headers}{connection}, 'keep-alive', 'HTTP/1.0, kept alive');
$r = rides('close', '/', 12, headers => { Connection => 'close' });
is($r->{headers}{connection}, 'close', 'close: closes');

# In pieces, with its partner waiting.

sub in_pieces {
    my ($name, $uri, $pause, @pieces) = @_;

    $backend->clear;

    my $other = Test::Mark::HTTP->new($p);
    $other->send(uri => $uri, body => body(1));

    my $c = Test::Mark::HTTP->new($p);
    push @{$c->{pending}}, 'POST';

    for (@pieces) {
        $c->write($_);
        sleep $pause;
    }

    is(said($c->response), answer(2), "$name: answer");
    is(said($other->response), answer(1), "$name: partner");
    batched($name);
}

my $two = Test::Mark::HTTP::format_request(uri => '/', body => body(2));
my $two_chunks = Test::Mark::HTTP::format_request(uri => '/', chunked => 2,
                                                  body => body(2));
my ($head) = $two =~ /\A(.*?\r\n\r\n)/s;

in_pieces('dribbled', '/', 0.002, split //, $two);
in_pieces('dribbled chunks', '/', 0.002, split //, $two_chunks);
in_pieces('body behind its head', '/', 0.05, $head, body(2));
in_pieces('body in two', '/', 0.05, $head . substr(body(2), 0, 5),
    substr(body(2), 5));
in_pieces('body in three', '/', 0.05, $head, substr(body(2), 0, 5),
    substr(body(2), 5));

# Expect: 100-continue.

$backend->clear;

my $other = Test::Mark::HTTP->new($p);
$other->send(uri => '/', body => body(1));

$c = Test::Mark::HTTP->new($p);
$c->write($head =~ s/\r\n\r\n/\r\nExpect: 100-continue\r\n\r\n/r);

my $interim = '';
while ($interim !~ /\r\n\r\n/ && IO::Select->new($c->socket)->can_read(10)) {
    sysread($c->socket, $interim, 1000, length $interim) or last;
}

is($interim, "HTTP/1.1 100 Continue\r\n\r\n", 'expect: continue');
push @{$c->{pending}}, 'POST';
$c->write(body(2));
is(said($c->response), answer(2), 'expect: answer');
is(said($other->response), answer(1), 'expect: partner');
batched('expect');

# Two connections, each with three requests at once: three batches.

$backend->clear;

my @c = map { Test::Mark::HTTP->new($p) } 0, 1;

for my $i (0, 1) {
    push @{$c[$i]{pending}}, ('POST') x 3;
    $c[$i]->write(join '', map {
        Test::Mark::HTTP::format_request(uri => "/pipe$_",
                                         body => body("\"$i.$_\""))
    } 1 .. 3);
}

for my $i (0, 1) {
    is(said(map { $c[$i]->response } 1 .. 3),
        join("\n", map { answer("\"$i.$_\"") } 1 .. 3), "pipelined: $i");
}

@seen = $backend->requests;
is(join(' ', map { scalar @{$_->{rows}} } @seen), '2 2 2',
    'pipelined: batches');

# The same connections, again and again.

$backend->clear;

for my $round (1 .. 5) {
    $c[$_]->send(uri => '/again', body => body("$round$_")) for 0, 1;
    is(said(map { $c[$_]->response } 0, 1),
        join("\n", map { answer("$round$_") } 0, 1), "kept alive: $round");
}

is(scalar(() = $backend->requests), 5, 'kept alive: batches');

# 2 MB, twice; beyond the limit of a batch it goes alone.

my @big = map { '"' . $_ x 2000000 . '"' } qw(x y);

$backend->clear;
@r = http_many([map { { uri => '/big', body => body($_) } } @big],
    port => $p);
ok($r[$_]{body} eq substr(answer($big[$_]), 4), "2 MB: $_") for 0, 1;
is(scalar(() = $backend->requests), 1, '2 MB: one batch');

$backend->clear;
@r = http_many([map { { uri => '/tiny2M', body => body($_) } } @big],
    port => $p);
ok($r[$_]{body} eq substr(answer($big[$_]), 4), "2 MB in files: $_") for 0, 1;
is(scalar(() = $backend->requests), 1, '2 MB in files: one batch');

my $alone = '"' . 'z' x 5000000 . '"';
ok(http_post($p, '/', body($alone))->{body} eq substr(answer($alone), 4),
    '5 MB');
is($t->location('/')->{passed}{bytes}, 1, '5 MB: passed on');

# proxy_request_buffering off: batched all the same; what is too big is not
# read before it is passed on.

rides('not buffered', '/direct', 1);
rides('not buffered, chunked', '/direct', 1, chunked => 3);

ok(http_post($p, '/direct', body($row100k))->{body}
    eq substr(answer($row100k), 4), 'not buffered: alone');
is($t->location('/direct')->{passed}{bytes}, 1, 'not buffered: passed on');

ok(http_request($p, uri => '/direct', body => body($row100k), chunked => 999)
    ->{body} eq substr(answer($row100k), 4), 'not buffered: chunked alone');
is($t->location('/direct')->{passed}{bytes}, 2,
    'not buffered: passed on, read');

# What is passed on, as it is.

sub passes {
    my ($name, $reason, %how) = @_;

    my $before = $t->location('/')->{passed}{$reason};
    $backend->clear;

    my $r = http_request($p, uri => '/', timeout => 10, %how);

    is($t->location('/')->{passed}{$reason}, $before + 1, "$name: counted");

    return ($r, $backend->requests);
}

gzip(\body(1), \my $zipped);
($r, my $seen) = passes('gzip', 'encoded', body => $zipped,
    headers => { 'Content-Encoding' => 'gzip' });
ok($seen->{body} eq $zipped, 'gzip: as it is');
is($seen->{headers}{'content-encoding'}, 'gzip', 'gzip: header');
is($r->{status}, 400, 'gzip: answer of the backend');

for my $method (qw(GET HEAD DELETE OPTIONS)) {
    ($r, $seen) = passes($method, 'method', method => $method);
    is($seen->{method}, $method, "$method: passed on");
    is($r->{status}, 400, "$method: answer of the backend");
}

for my $method (qw(PUT PATCH GET)) {
    ($r, $seen) = passes("$method with body", 'method', method => $method,
        body => body(1));
    is("$seen->{method} $seen->{body}", "$method " . body(1),
        "$method with body: passed on");
    is(said($r), answer(1), "$method with body: answer");
}

($r, $seen) = passes('upgrade', 'method', body => body(1),
    headers => { Upgrade => 'websocket', Connection => 'upgrade' });
is(said($r), answer(1), 'upgrade: answer');

$r = http_request($p, uri => '/upgrade', body => body(1),
    headers => { Upgrade => 'websocket', Connection => 'upgrade' });
is(said($r), answer(1), 'upgrade: answer again');
is(($backend->requests)[-1]{headers}{upgrade}, 'websocket',
    'upgrade: header');

($r, $seen) = passes('empty', 'invalid', body => '');
is("$seen->{method} $seen->{body}", 'POST ', 'empty: passed on');
($r, $seen) = passes('empty chunked', 'invalid', body => '', chunked => 1);
is("$seen->{method} $seen->{body}", 'POST ', 'empty chunked: passed on');
($r, $seen) = passes('no body', 'invalid', method => 'POST');
is("$seen->{method} $seen->{body}", 'POST ', 'no body: passed on');
is($r->{status}, 400, 'no body: answer of the backend');

# Bodies that nginx refuses, or that never come.

$backend->clear;

is(http_post($p, '/limit', body('"' . 'x' x 100 . '"'))->{status}, 413,
    'too large');
is(http_request($p, uri => '/limit', chunked => 20,
                body => body('"' . 'x' x 100 . '"'))->{status}, 413,
    'too large, chunked');
is(http($p, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    . "nonsense\r\n")->{status}, 400, 'bad chunk');

@c = map { Test::Mark::HTTP->new($p) } 0 .. 3;
$_->write($head) for @c;
$c[$_]->write(substr(body(2), 0, 5)) for 1, 3;
sleep 0.1;
$c[$_]->close for 0, 1;
$c[$_]->reset for 2, 3;

is(scalar(() = $backend->requests), 0, 'none of these came to the backend');
rides('afterwards', '/', '"as ever"');

my $status = $t->status;
is($status->{queued}, 0, 'nothing is left waiting');
is($t->location('/')->{failed_batches}, 0, 'no batch failed');

done_testing;
