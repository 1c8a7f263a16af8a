#!/usr/bin/perl

# What a backend may do to a batch: every member gets the right answer or one
# clean error, never a part of one, never a neighbour's.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::Mark;

my $t = Test::Mark->new;

my $echo = '{"predictions": [1, 2, 3]}';
my $head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
my $length = 'Content-Length: ' . length($echo) . "\r\n";
my $big = 'x' x 300_000;

# What the backend does is in the path; some only to batches (more than one
# row), so that members that are tried alone have an answer.

my %how = (
    length => {},
    chunked => { chunked => 7 },
    dribbled => { dribble => 5 },
    dribbled_chunks => { dribble => 3, chunked => 5 },
    close => { close => 1 },
    big => { chunked => 5000 },
    slow_head => { dribble => 20, pause => 0.01 },
    then_close => { then_close => 1 },

    reset => { reset => 1 },
    reset_in_head => { reset => 1, cut => 30 },
    reset_in_body => { reset => 1, cut => 90 },
    before => { close_before => 1 },
    hang => { hang => 1 },
    hang_in_body => { length => 1000 },
    garbage => { raw => "\0\1\2 garbage\r\n\r\n", then_close => 1 },
    old => { raw => "no head at all: $echo", then_close => 1 },
    empty_line => { raw => "\r\n\r\n", then_close => 1 },
    cut_head => { cut => 20 },
    cut_length => { cut => 90 },
    cut_chunked => { chunked => 4, cut => 120 },
    cut_before_last => { raw => "${head}Transfer-Encoding: chunked\r\n\r\n"
        . sprintf("%x\r\n%s\r\n", length $echo, $echo), then_close => 1 },
    bad_chunk => { raw => "${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        then_close => 1 },
    huge_head => { headers => { 'X-Long' => 'y' x 20000 } },
    switching => { raw => "HTTP/1.1 101 Switching Protocols\r\n"
        . "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        then_close => 1 },
    accel => { headers => { 'X-Accel-Redirect' => '/secret' } },

    200 => { headers => [ 'X-Model' => 'resnet', 'X-Model' => 'two',
        'ETag' => '"whole"', 'Content-MD5' => 'x', 'Digest' => 'x',
        'Last-Modified' => 'Mon, 28 Sep 1970 06:00:00 GMT',
        'Accept-Ranges' => 'bytes', 'Cache-Control' => 'no-store',
        'Vary' => 'Accept', 'Content-Type' => 'application/json; charset=x',
        'Server' => 'model/1', 'Date' => 'Mon, 28 Sep 1970 06:00:00 GMT' ] },
    302 => { status => 302, reason => 'Found', body => 'elsewhere',
        headers => { Location => 'http://example.com/x' } },
    303 => { status => 303, reason => 'See', body => '',
        headers => { Location => '/relative' } },
    401 => { status => 401, reason => 'Who Are You', body => '{"e": 401}',
        headers => { 'WWW-Authenticate' => 'Basic realm="m"',
                     'X-Why' => 'none' } },
    404 => { status => 404, reason => 'No Model', body => '{"e": 404}',
        headers => { 'X-Why' => 'gone' } },
    429 => { status => 429, reason => 'Slow Down', body => '{"e": 429}',
        headers => { 'Retry-After' => 7 } },
    503 => { status => 503, reason => 'Busy', body => '{"e": 503}' },
    empty503 => { status => 503, reason => 'Busy', body => '' },
);

my %only_batches = (
    gzip => { gzip => 1 },
    204 => { status => 204 },
    206 => { status => 206, headers => { 'Content-Range' => 'bytes 0-9/99' } },
    cookie => { headers => { 'Set-Cookie' => 'id=1' } },
);

my $backend = $t->backend(8081, handler => sub {
    my ($req) = @_;

    my ($what) = $req->{uri} =~ m!([^/]*)$!;
    my $rows = @{$req->{rows} || []};

    if ($what =~ /^(100|103)$/) {
        my $body = '{"predictions": [' . join(', ', @{$req->{rows}}) . ']}';
        return { raw => "HTTP/1.1 $what Interim\r\nLink: </x>\r\n\r\n"
            . "${head}Content-Length: " . length($body) . "\r\n\r\n$body" };
    }

    return $only_batches{$what} if $only_batches{$what} && $rows > 1;
    return { body => '{"predictions": [' . join(', ',
        map { "\"$big$_\"" } @{$req->{rows}}) . ']}' } if $what =~ /^big\d$/;
    return $how{$what};
});

my $other = $t->backend(8082);

# the port of nobody

$t->port(8083);

my $locations = join '', map {
    my ($name, $conf) = @$_;
    "        location /$name/ {\n            mark_batch v1;\n"
        . join('', map { "            $_\n" } @$conf, 'break;')
        . "        }\n\n";
} (
    ['plain', ['proxy_pass http://backend;']],
    ['direct', ['proxy_pass http://backend;', 'proxy_buffering off;']],
    ['old', ['proxy_pass http://backend;', 'proxy_http_version 1.0;']],
    ['file', ['proxy_pass http://backend;', 'proxy_buffers 2 4k;',
        'proxy_buffer_size 4k;', 'proxy_busy_buffers_size 4k;']],
    ['small', ['proxy_pass http://backend;', 'mark_max_batch_bytes 1k;']],
    ['pass', ['proxy_pass http://backend;', 'proxy_pass_header Server;',
        'proxy_pass_header Date;', 'add_header X-Added $mark_batch_size;']],
    ['next', ['proxy_pass http://some;', 'proxy_next_upstream error;']],
    ['dead', ['proxy_pass http://nobody;']],
    ['dead_page', ['proxy_pass http://nobody;', 'error_page 502 /page;']],
    ['dead_ok', ['proxy_pass http://nobody;', 'error_page 502 =200 /page;']],
    ['dead_named', ['proxy_pass http://nobody;', 'error_page 502 = @other;']],
    ['intercept', ['proxy_pass http://backend;', 'proxy_intercept_errors on;',
        'error_page 401 404 429 503 /page;']],
);

$t->conf(<<"EOC")->run;
%%GLOBALS%%

events {
    worker_connections 512;
}

http {
    %%HTTP%%

    log_format mark '\$uri \$status \$upstream_addr \$upstream_status';
    access_log %%DIR%%/mark.log mark;

    upstream backend {
        server 127.0.0.1:%%PORT_8081%%;
    }

    upstream some {
        server 127.0.0.1:%%PORT_8083%% max_fails=0;
        server 127.0.0.1:%%PORT_8082%% backup;
    }

    upstream nobody {
        server 127.0.0.1:%%PORT_8083%% max_fails=0;
    }

    # three make a batch; one alone would wait for longer than any test

    mark_max_batch_size 3;
    mark_max_queue_delay 30s;

    proxy_http_version 1.1;
    proxy_read_timeout 1s;

    server {
        listen 127.0.0.1:%%PORT_8080%%;

$locations
        location = /page {
            add_header X-Page \$request_uri always;
            return 200 "page of \$request_uri";
        }

        location \@other {
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
        }

        location /secret {
            internal;
            return 200 "secret";
        }

        # the same, without batches: what each would have been told alone

        location /alone/ {
            rewrite ^/alone(/.*) \$1 break;
            proxy_pass http://backend;
        }

        location /alone_intercept/ {
            proxy_intercept_errors on;
            error_page 401 404 429 503 /page;
            proxy_pass http://backend;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

my $p = $t->port(8080);
my (@r, $r, $name);


# three members

sub three {
    my ($uri, %headers) = @_;

    $backend->clear;
    $other->clear;

    return http_many([map {
        { uri => $uri, body => "{\"instances\": [$_]}", headers => \%headers }
    } 1 .. 3], port => $p, timeout => 20);
}

sub said { join "\n", map { "$_->{status} $_->{body}" } @_ }

# all headers, but the time of day

sub headers { [map { $_->[0] eq 'Date' ? 'Date' : @$_ } @{$_[0]{header_list}}] }

sub echoes { join "\n", map { "200 {\"predictions\": [$_]}" } 1 .. 3 }

sub batches {
    join ' ', map { scalar @{$_->{rows} || []} } $backend->requests;
}

sub retries {
    my $n = 0;
    $n += $_->{retries} for @{$t->status->{locations}};
    return $n;
}

# nginx's own page of this status, for all, and nothing more was asked

sub all_get {
    my ($status, $name, @r) = @_;

    is(join(' ', map { $_->{status} } @r), "$status $status $status", $name);
    ok(!(grep { !$_->{complete} || $_->{body} !~ /<title>$status/
                || $_->{body} =~ /predict/ } @r), "$name: a clean error");
}


# All the ways to say it, through all the ways to read it.

for my $how (qw(plain direct old file)) {
    for (qw(length chunked dribbled dribbled_chunks close slow_head
            then_close))
    {
        # HTTP/1.0 has no chunks, but backends send them
        @r = three("/$how/$_");
        is(said(@r), echoes(), "$how: $_");
        is(batches(), '3', "$how: $_: one batch");
    }

    @r = three("/$how/big1");
    ok($r[$_ - 1]{body} eq "{\"predictions\": [\"$big$_\"]}",
        "$how: 900 kB: $_") for 1 .. 3;
    is(batches(), '3', "$how: 900 kB: one batch");
}

# What breaks: the same error for all, no part of an answer, no second try.

for my $how (qw(plain direct old file)) {
    all_get(502, "$how: $_", three("/$how/$_"))
        for qw(reset reset_in_head reset_in_body before garbage old empty_line
               cut_head cut_length cut_chunked cut_before_last bad_chunk
               huge_head switching);
}

is(batches(), '3', 'not tried again');
is(retries(), 0, 'none of them was tried again');

for my $how (qw(plain direct)) {
    all_get(504, "$how: hang", three("/$how/hang"));

    @r = three("/$how/hang_in_body");
    ok(!(grep { $_->{status} !~ /^50[24]$/ || $_->{body} =~ /predict/ } @r),
        "$how: hang in the body") or diag(said(@r));
}

# An interim response first: nginx may not read what follows, but no member
# gets anything else.

for my $code (100, 103) {
    @r = three("/plain/$code");
    ok(said(@r) eq echoes() || !(grep { $_->{status} != 502 } @r),
        "interim $code") or diag(said(@r));
}

# What is no answer to a batch: each is tried alone.

for my $what (sort keys %only_batches) {
    for my $how (qw(plain direct)) {
        @r = three("/$how/$what");
        is(said(@r), echoes(), "$how: $what: each has its own");
        is(batches(), '3 1 1 1', "$how: $what: tried alone");
        ok(!(grep { exists $_->{headers}{'set-cookie'} } @r),
            "$how: $what: nobody's cookie");
    }
}

@r = three('/small/big1');
ok($r[$_ - 1]{body} eq "{\"predictions\": [\"$big$_\"]}",
    "too large an answer: $_") for 1 .. 3;
is(batches(), '3 1 1 1', 'too large an answer: tried alone');
ok($t->log =~ /reply to a batch of 3 is too large/,
    'too large an answer: told');

# Answers to all, or to none alone: status, reason, body, headers.

for my $what (qw(302 303 401 404 429 503 empty503)) {
    @r = three("/plain/$what");
    my $alone = http_post($p, "/alone/$what", '{"instances": [1]}');

    for my $i (0 .. 2) {
        is("$r[$i]{status} $r[$i]{reason} $r[$i]{body}",
            "$alone->{status} $alone->{reason} $alone->{body}",
            "$what: answer $i");
        is_deeply(headers($r[$i]), headers($alone),
            "$what: headers $i") if $what ne 404;
    }
}

@r = three('/plain/401');
is($r[1]{headers}{'www-authenticate'}, 'Basic realm="m"', '401: asks');
is(batches(), '3', '401: once');
@r = three('/plain/404');
is($r[2]{headers}{'x-why'}, 'gone', '404: header');
like(batches(), qr/\A3 (?=.*2)[12 ]{7}\z/,
    '404: by halves, then alone, it may be one of them');

# Headers: of the backend but for what is wrong for a part.

my @date = qw(Server Date);

for my $how (qw(plain pass)) {
    @r = three("/$how/200");

    my $h = $r[1]{headers};
    my %count;
    $count{lc $_->[0]}++ for @{$r[1]{header_list}};

    is(said(@r), echoes(), "headers: $how");
    is($h->{'x-model'}, 'resnet, two', "headers: $how: copied");
    is($h->{'cache-control'}, 'no-store', "headers: $how: Cache-Control");
    is($h->{vary}, 'Accept', "headers: $how: Vary");
    is($h->{'content-type'}, 'application/json; charset=x',
        "headers: $how: type");
    is($h->{'content-length'}, length $r[1]{body}, "headers: $how: length");
    is(join(' ', grep { exists $h->{$_} } qw(etag content-md5 digest
        last-modified accept-ranges)), '', "headers: $how: dropped");
    is("$count{server} $count{date}", '1 1', "headers: $how: not doubled");
    is($h->{server} =~ /^model/ ? 'its own' : 'ours',
        $how eq 'pass' ? 'its own' : 'ours', "headers: $how: Server");
    is($h->{date} =~ /1970/ ? 'its own' : 'ours',
        $how eq 'pass' ? 'its own' : 'ours', "headers: $how: Date");
}

is($r[0]{headers}{'x-added'}, 3, 'headers: add_header works for each');

# Conditions are for the backend, which has no ETag of a part.

for my $name (qw(If-Match If-None-Match If-Modified-Since
                 If-Unmodified-Since If-Range Range))
{
    my $value = $name =~ /Since/ ? 'Mon, 28 Sep 1970 06:00:00 GMT'
        : $name eq 'Range' ? 'bytes=0-4' : '"whole"';

    is(said(three('/plain/200', $name => $value)), echoes(), $name);
    is(($backend->requests)[0]{headers}{lc $name}, undef,
        "$name: not for a batch");
}

# Dead servers.

@r = three('/next/length');
is(said(@r), echoes(), 'next upstream');
is(scalar(() = $other->requests), 1, 'next upstream: one batch');

my ($dead, $live) = map { '127.0.0.1:' . $t->port($_) } 8083, 8082;
ok(wait_for(sub { $t->read_file('mark.log')
    =~ m!^/next/length 200 \Q$dead\E, \Q$live\E 502, 200$!m }, 5),
    'next upstream: both are logged');

all_get(502, 'all dead', three('/dead/length'));

@r = three('/dead_page/length');
is(said(@r), join("\n", ('502 page of /dead_page/length') x 3),
    'all dead: error_page');
is($r[2]{headers}{'x-page'}, '/dead_page/length', 'all dead: its headers');

@r = three('/dead_ok/length');
is(said(@r), join("\n", ('200 page of /dead_ok/length') x 3),
    'all dead: error_page =200');

@r = three('/dead_named/length');
is(said(@r), echoes(), 'all dead: error_page = @named');
is(join(' ', map { scalar @{$_->{rows}} } $other->requests), '1 1 1',
    'all dead: each by itself');

# proxy_intercept_errors: each has its page, those tried alone as well.

for my $what (qw(401 404 429 503)) {
    @r = three("/intercept/$what");
    is(said(@r), join("\n", ("$what page of /intercept/$what") x 3),
        "intercept: $what");

    my $alone = http_post($p, "/alone_intercept/$what", '{"instances": [1]}');
    is(join(' ', sort map { lc $_->[0] } @{$r[1]{header_list}}),
        join(' ', sort map { lc $_->[0] } @{$alone->{header_list}}),
        "intercept: $what: headers");
}

is(said(three('/intercept/length')), echoes(), 'intercept: nothing to do');

# X-Accel-Redirect is for one request.

@r = three('/plain/accel');
is(said(@r), join("\n", ('200 secret') x 3), 'X-Accel-Redirect');

is(JSON::PP::encode_json([map { $t->status->{$_} } qw(queued in_flight)]),
    '[0,0]', 'nothing left');

done_testing;
