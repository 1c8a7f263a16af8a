#!/usr/bin/perl

# Odd requests, and directives that are seldom seen: what may be batched is,
# what may not is passed on as it is, and the connection goes on afterwards.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use MIME::Base64 qw(encode_base64);
use Test::Mark;
use Test::Mark::HTTP2;

my $t = Test::Mark->new;
my $p = $t->port(8080);

my $b = $t->backend(8081, handler => sub {
    my ($req) = @_;

    return { raw => "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        . "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        . "Content-Length: 20\r\n\r\n"
        . '{"predictions": [' . (join ',', @{$req->{rows}}) . ']} ' }
        if $req->{uri} =~ /hints/ && @{$req->{rows} || []} == 1;
    return;
});

my $first = $t->backend(8082, close_before => 1);

$t->write_file('users', "anna:{PLAIN}one\n");

# parts of the configuration that not every nginx has

my %parts = (
    ADDITION => $t->has_option('http_addition_module') && <<'EOC',
        location /addition {
            mark_batch v1;
            addition_types application/json;
            add_before_body /before;
            add_after_body /after;
            proxy_pass http://b;
        }
EOC
    SLICE => $t->has_option('http_slice_module') && <<'EOC',
        location /slice {
            mark_batch v1;
            slice 1k;
            proxy_set_header Range $slice_range;
            proxy_pass http://b;
        }
EOC
    HINTS => $t->has_version('1.29.0') && <<'EOC',
        location /hints {
            mark_batch v1;
            early_hints $arg_hints;
            proxy_pass http://b;
        }
EOC
);

my $h2 = $t->has_option('http_v2_module');

my $conf = <<'EOC';
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 4;
    }

    upstream two {
        server 127.0.0.1:%%PORT_8082%% max_fails=0;
        server 127.0.0.1:%%PORT_8081%% backup;
    }

    client_body_buffer_size 16k;
    large_client_header_buffers 4 32k;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    mark_max_queue_delay 30s;
    mark_max_batch_size 3;

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        H2

        location / {
            mark_batch v1;
            proxy_pass http://b;
        }

        location /method {
            mark_batch v1;
            proxy_method PUT;
            proxy_pass http://b;
        }

        location /bare {
            mark_batch v1;
            proxy_pass_request_headers off;
            proxy_pass http://b;
        }

        location /again {
            mark_batch v1;
            proxy_next_upstream error non_idempotent;
            proxy_pass http://two;
        }

        location /once {
            mark_batch v1;
            proxy_pass http://two;
        }

        location /bind {
            mark_batch v1;
            proxy_bind $remote_addr;
            proxy_pass http://b;
        }

        location /ranges {
            mark_batch v1;
            proxy_force_ranges on;
            proxy_pass http://b;
        }

        location /satisfy {
            mark_batch v1;
            satisfy any;
            deny all;
            auth_basic realm;
            auth_basic_user_file users;
            proxy_pass http://b;
        }

        location /trailer {
            mark_batch v1;
            add_trailer X-Size $mark_batch_size;
            proxy_pass http://b;
        }

        location /chunks {
            mark_batch v1;
            chunked_transfer_encoding off;
            add_trailer X-Size $mark_batch_size;
            proxy_pass http://b;
        }

        location /files {
            mark_batch v1;
            client_body_in_file_only on;
            proxy_set_header X-File $request_body_file;
            proxy_set_header Connection "";
            proxy_pass http://b;
        }

        location /closes {
            mark_batch v1;
            keepalive_timeout 0;
            proxy_pass http://b;
        }

        location /few {
            mark_batch v1;
            keepalive_requests 2;
            proxy_pass http://b;
        }

        location /unused {
            mark_batch v1;
            memcached_pass 127.0.0.1:%%PORT_8081%%;
            set $memcached_key key;
        }

        location /before {
            internal;
            return 200 "(";
        }

        location /after {
            internal;
            return 200 ")";
        }

        ADDITION
        SLICE
        HINTS

        location = /mark_status {
            mark_status;
        }
    }
}
EOC

$parts{H2} = $h2 && "        listen 127.0.0.1:%%PORT_8090%% http2;\n";

for my $part (keys %parts) {
    my $text = $parts{$part} || '';
    $conf =~ s/^ *$part\n/$text/m or die "no place for $part";
}

$t->conf($conf)->run;

my (@r, $r, $c, $seen);

# Directives.

is(three('/method')->{method}, 'PUT', 'proxy_method');

$seen = three('/bare', map { [$_, 'X-Own' => 'mine'] } 1 .. 3);
is(join(' ', sort keys %{$seen->{headers}}), 'content-length host',
    'proxy_pass_request_headers off');

three('/again');
is(join(' ', map { $_->{status} } many('/once', 1 .. 3)), '502 502 502',
    'a batch is not idempotent');
is(scalar(() = $first->requests), 2, 'both have tried the first server');

three('/bind');

# a range of what a POST brings has no meaning

three('/ranges', map { [$_, Range => 'bytes=0-3'] } 1 .. 3);

my $basic = 'Basic ' . (encode_base64('anna:one') =~ s/\n//r);
three('/satisfy', map { [$_, Authorization => $basic] } 1 .. 3);
is(http_post($p, '/satisfy', '{"instances": [1]}')->{status}, 401,
    'satisfy: refused before');

@r = many('/trailer', 1 .. 3);
is($r[$_ - 1]{body}, qq({"predictions": [$_]}), "add_trailer: $_") for 1 .. 3;
like($r[0]{raw}, qr/\r\n0\r\nX-Size: 3\r\n\r\n\z/, 'add_trailer: sent');

@r = many('/chunks', map { [$_, Connection => 'close'] } 1 .. 3);
is($r[$_ - 1]{body}, qq({"predictions": [$_]}), "no chunks: $_") for 1 .. 3;

$seen = three('/files', map { '"' . $_ x 20_000 . '"' } 1 .. 3);
is($seen->{headers}{'x-file'}, undef, 'files: not of the batch');
my @files = glob $t->dir . '/client_body_temp/*';
is(scalar @files, 3, 'files: kept');

is(join(' ', map { $_->{status} } many('/unused', 1 .. 3)), '405 405 405',
    'memcached_pass');

SKIP: {
    skip 'nginx without addition', 3 unless $parts{ADDITION};

    @r = many('/addition', 1 .. 3);
    is($r[$_ - 1]{body}, qq[({"predictions": [$_]})], "addition: $_")
        for 1 .. 3;
}

SKIP: {
    skip 'nginx without slice', 1 unless $parts{SLICE};
    three('/slice');
}

SKIP: {
    skip 'nginx without early_hints', 3 unless $parts{HINTS};

    three('/hints?hints=1');
    $r = http_post($p, '/hints', '{"instances": [1, 2, 3, 4]}');
    is($r->{status}, 200, 'hints');
    is("@{$r->{interim}}", '', 'hints: none here');
}

# Encoded bodies are passed on, whatever the coding.

for my $coding ('deflate', 'br', 'identity', '') {
    passed("Content-Encoding: $coding", 'encoded',
        headers => { 'Content-Encoding' => $coding });
}

# Upgrades are passed on: the location may have them done.

passed('websocket', 'method',
    headers => { Upgrade => 'websocket', Connection => 'upgrade',
                 'Sec-WebSocket-Key' => 'x' });
passed('h2c', 'method',
    headers => { Upgrade => 'h2c', Connection => 'Upgrade, HTTP2-Settings',
                 'HTTP2-Settings' => 'AAMAAABkAAQAAP__' });

# Ways to write the same.

my $one = '{"instances": [1]}';
my $size = length $one;

for (['absolute form', "POST http://localhost/odd HTTP/1.1\r\nHost: x\r\n"],
     ['empty lines before it', "\r\n\r\nPOST /odd HTTP/1.1\r\nHost: x\r\n"],
     ['bare LF', "POST /odd HTTP/1.1\nHost: x\n"],
     ['odd case', "POST /odd HTTP/1.1\r\nhOsT: x\r\n"],
     ['no host', "POST /odd HTTP/1.0\r\nConnection: keep-alive\r\n"],
     ['long arguments', 'POST /odd?' . 'a' x 20_000 . " HTTP/1.1\r\n"
        . "Host: x\r\n"],
     ['long header', "POST /odd HTTP/1.1\r\nHost: x\r\nX-Long: "
        . 'a' x 20_000 . "\r\n"],
     ['many headers', "POST /odd HTTP/1.1\r\nHost: x\r\n"
        . join '', map { "X-$_: $_\r\n" } 1 .. 300],
     ['headers twice', "POST /odd HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n"
        . "X-A: 2\r\nCookie: a=1\r\nCookie: b=2\r\n"
        . "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n"],
     ['strange path', "POST //odd/../a%00%2f%ff/./;x=1?%20 HTTP/1.1\r\n"
        . "Host: x\r\n"])
{
    my ($name, $head) = @$_;

    if ($name eq 'strange path') {
        $r = http_request($p, bytes => "${head}Content-Length: $size\r\n\r\n"
            . $one);
        is($r->{status}, 400, "$name: refused");
        next;
    }

    $b->clear;
    @r = http_many([map { { bytes => "${head}Content-Length: $size\r\n\r\n"
        . $one =~ s/1/$_/r } } 1 .. 3], port => $p, timeout => 15);
    is(join(' ', said(@r)), own(1 .. 3), "$name: answers");
    is(scalar(() = $b->requests), 1, "$name: a batch");
}

# What cannot be right.

for (['two lengths', "Content-Length: $size\r\nContent-Length: $size\r\n"],
     ['no length', "Content-Length: x\r\n"],
     ['negative', "Content-Length: -1\r\n"],
     ['gzip, chunked', "Transfer-Encoding: gzip, chunked\r\n"])
{
    my ($name, $headers) = @$_;

    $b->clear;
    $r = http_request($p, bytes => "POST /odd HTTP/1.1\r\nHost: x\r\n"
        . "$headers\r\n$one");
    cmp_ok($r->{status}, '>=', 400, "$name: refused");
    is(scalar(() = $b->requests), 0, "$name: the backend knows nothing");
}

# A connection goes on after each kind of request, also in one piece.

my %kinds = (
    get => ["GET /odd HTTP/1.1\r\nHost: x\r\n\r\n", 400],
    head => ["HEAD /odd HTTP/1.1\r\nHost: x\r\n\r\n", 400],
    put => ["PUT /odd HTTP/1.1\r\nHost: x\r\nContent-Length: $size\r\n\r\n"
        . $one, 200],
    encoded => ["POST /odd HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\n"
        . "Content-Length: $size\r\n\r\n$one", 200],
    upgrade => ["POST /odd HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n"
        . "Connection: upgrade\r\nContent-Length: $size\r\n\r\n$one", 200],
    invalid => ["POST /odd HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
        . 'what', 400],
    empty => ["POST /odd HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        400],
    rows => ["POST /odd HTTP/1.1\r\nHost: x\r\nContent-Length: 27\r\n\r\n"
        . '{"instances": [1, 2, 3, 4]}', 200],
    trailers => ["POST /odd HTTP/1.1\r\nHost: x\r\n"
        . "Transfer-Encoding: chunked\r\nContent-Encoding: br\r\n\r\n12\r\n"
        . "$one\r\n0\r\nX-Sum: 1\r\n\r\n", 200],
);

my $batched = "POST /odd HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
    . "application/json\r\nContent-Length: $size\r\n\r\n" . $one;
my @kinds = sort keys %kinds;

$c = connection();

for my $kind (@kinds) {
    my ($bytes, $status) = @{$kinds{$kind}};

    $r = on($c, $bytes);
    is($r->{status}, $status, "$kind: answer");

    $b->clear;
    expect($c, $batched);
    @r = many('/odd', 2, 3);
    is(join(' ', said($c->response, @r)), own(1 .. 3),
        "$kind: batched on the same connection");
    is(scalar(() = $b->requests), 1, "$kind: a batch");
}

expect($c, map { $kinds{$_}[0], $batched } @kinds);

for my $kind (@kinds) {
    is($c->response->{status}, $kinds{$kind}[1], "$kind: pipelined");
    @r = many('/odd', 2, 3);
    is(join(' ', said($c->response, @r)), own(1 .. 3),
        "$kind: batched behind it");
}

$c->close;

# What closes the connection does so for batches, too.

my @c = map { connection() } 1 .. 3;
$_->send(uri => '/closes', body => $one) for @c;
is(join(' ', said(map { $_->response } @c)), own(1, 1, 1),
    'keepalive_timeout 0: answers');
ok($_->closed(10), 'keepalive_timeout 0: closed') for @c;

@c = map { connection() } 1 .. 3;

for my $connection ('keep-alive', 'close') {
    $_->send(uri => '/few', body => $one) for @c;
    is(join(' ', map { $_->response->{headers}{connection} } @c),
        join(' ', ($connection) x 3), "keepalive_requests: $connection");
}

# HTTP/2: bodies without a length, in many frames.

SKIP: {
    skip 'nginx without HTTP/2', 7 unless $h2;

    my $h = Test::Mark::HTTP2->new($t->port(8090));
    my (@ids, @want);

    $b->clear;
    @ids = map {
        $h->request(uri => '/odd', body => qq({"instances": [$_]}), open => 1)
    } 1 .. 3;
    $h->data($_, '', 1) for @ids;
    is(join(' ', said(map { $h->response($_) } @ids)), own(1 .. 3),
        'HTTP/2: no length');
    is(scalar(() = $b->requests), 1, 'HTTP/2: no length: a batch');

    $b->clear;
    @ids = map {
        my $id = $h->request(uri => '/odd', method => 'POST', open => 1);
        $h->data($id, $_) for split //, qq({"instances": [$_]});
        $id;
    } 1 .. 3;
    $h->data($_, '', 1) for @ids;
    is(join(' ', said(map { $h->response($_) } @ids)), own(1 .. 3),
        'HTTP/2: many frames');
    is(scalar(() = $b->requests), 1, 'HTTP/2: many frames: a batch');
    is(($b->requests)[0]{headers}{'content-length'},
        length(($b->requests)[0]{body}), 'HTTP/2: the length of the batch');

    my $id = $h->request(uri => '/odd', method => 'POST', nodata => 1,
        headers => { 'content-length' => 5 }, open => 1);
    $h->data($id, $one, 1);
    $r = $h->response($id);
    ok($r->{status} != 200, 'HTTP/2: more than the length');
    ok($h->ping, 'HTTP/2: still open');
    $h->close;
}

ok($t->reached('/', queued => 0, in_flight => 0, failed_batches => 0),
    'nothing is left');

done_testing;


# three requests that must be one batch; returns what the backend saw of it

sub three {
    my ($uri, @rows) = @_;

    @rows = 1 .. 3 unless @rows;

    $b->clear;
    my @got = many($uri, @rows);
    my @seen = $b->requests;

    ok(@seen == 1 && join(' ', said(@got)) eq own(map {
        ref $_ ? $_->[0] : $_
    } @rows), "$uri: a batch, with everybody's own answer")
        or diag(scalar(@seen), map { "\n" . substr($_, 0, 100) } said(@got));

    return $seen[-1] || { headers => {}, rows => [] };
}


# one that is not batched, for this reason, and comes to the backend as it is

sub passed {
    my ($name, $reason, %how) = @_;

    my $before = $t->location('/')->{passed}{$reason};

    $b->clear;
    my $r = http_request($p, uri => '/odd', body => '{"instances": [7]}',
                         %how);
    is(join(' ', said($r)), own(7), "$name: answer");
    is($t->location('/')->{passed}{$reason}, $before + 1, "$name: counted");
}


# at once; rows, or [row, headers]

sub many {
    my ($uri, @rows) = @_;

    return http_many([map {
        my ($row, @headers) = ref $_ ? @$_ : $_;
        { uri => $uri, body => qq({"instances": [$row]}),
          headers => \@headers };
    } @rows], port => $p, timeout => 15);
}


sub said { map { "$_->{status} $_->{body}" } @_ }

sub own { join ' ', map { qq(200 {"predictions": [$_]}) } @_ }

sub connection { Test::Mark::HTTP->new($p) }


# requests as they are, whose responses will be read

sub expect {
    my ($c, @bytes) = @_;

    push @{$c->{pending}}, map { /^(\S+)/ } @bytes;
    $c->write(join '', @bytes);
}


sub on {
    my ($c, $bytes) = @_;

    expect($c, $bytes);
    return $c->response;
}
