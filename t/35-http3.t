#!/usr/bin/perl

# Batches of HTTP/3 clients.  Debian's nginx has no HTTP/3: this is for newer
# ones (TEST_NGINX_BINARY), and needs aioquic for Python (TEST_PYTHON).

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::Mark;

my $python = $ENV{TEST_PYTHON} || 'python3';
my $t = Test::Mark->new;
my $dir = $t->dir;

my $missing = !$t->has_option('http_v3_module') ? 'nginx without HTTP/3'
    : system("'$python' -c 'import aioquic' >$dir/python.log 2>&1")
        ? "no aioquic for $python"
    : system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 "
             . "-subj /CN=localhost -keyout $dir/key.pem "
             . "-out $dir/cert.pem >$dir/openssl.log 2>&1")
        ? 'no openssl'
    : '';

if ($missing) {
    plan(skip_all => $missing);
    exit;
}

my $b = $t->backend(8081, handler => sub {
    my ($req) = @_;

    return { status => 400, body => '{"error": "poison"}' }
        if grep { $_ eq '"poison"' } @{$req->{rows} || []};
    return { delay => 0.5 } if $req->{uri} =~ /slow/;
    return;
});

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    log_format marks '$uri $status $server_protocol $mark_batch_size';
    access_log %%DIR%%/access.log marks;

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 4;
    }

    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;

    client_body_buffer_size 16k;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    mark_max_queue_delay 30s;
    mark_max_batch_size 4;

    server {
        listen 127.0.0.1:%%PORT_8443%% quic;
        listen 127.0.0.1:%%PORT_8080%%;
        server_name localhost;

        location / {
            mark_batch v1;
            proxy_set_header X-Seen "$scheme $http3 $server_protocol";
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_pass http://b;
        }

        location /direct {
            mark_batch v1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_pass http://b;
        }

        location /short {
            mark_batch v1;
            mark_max_queue_delay 300ms;
            mark_max_batch_bytes 1k;
            proxy_pass http://b;
        }

        location = /mark_status {
            mark_status;
        }
    }
}
EOC

my (@r, $seen);

# Streams of one connection, and of many.

$seen = four('/one', map { {} } 1 .. 4);
is($seen->{headers}{'x-seen'}, 'https h3 HTTP/1.1', 'what the backend sees');
is($seen->{headers}{host}, 'localhost', 'the host');
is($seen->{headers}{'content-length'}, length $seen->{body}, 'the length');
is(scalar(grep { $_->[0] =~ /^:/ } @{$seen->{header_list}}), 0,
    'no pseudo headers');
four('/many', map { { connection => $_ } } 1 .. 4);
four('/two', map { { connection => $_ % 2 } } 1 .. 4);
ok($t->wait_access_log(qr!^/two 200 HTTP/3.0 4$!m), 'log');

# Bodies of any kind.

four('/no-length', map { { length => JSON::PP::false } } 1 .. 4);
four('/pieces', map { { pieces => 5 } } 1 .. 4);
four('/no-length/pieces',
    map { { pieces => 5, length => JSON::PP::false } } 1 .. 4);
four('/trailers', map { { trailers => { 'x-sum' => 'abc' } } } 1 .. 4);
four('/direct', map { { pieces => 3 } } 1 .. 4);
four('/large', map { { row => '"' . $_ x 100_000 . '"' } } 1 .. 4);

# What is not batched.

my $long = '"' . 'a' x 2000 . '"';

@r = many('/get', { method => 'GET', body => '' });
is($r[0]{status}, 400, 'GET');
@r = many('/short', { row => $long });
is($r[0]{body}, qq({"predictions": [$long]}), 'over the limit');
@r = many('/short', { row => $long, pieces => 4,
                      length => JSON::PP::false });
is($r[0]{body}, qq({"predictions": [$long]}), 'over the limit, no length');

# One is poisoned.

@r = many('/poison', map { { row => $_ } } 1, '"poison"', 3, 4);
is(join(' ', map { "$_->{status} $_->{body}" } @r), join(' ',
    '200 {"predictions": [1]}', '400 {"error": "poison"}',
    map { qq(200 {"predictions": [$_]}) } 3, 4), 'poison');

# Who leaves while the batch gathers, and while it is computed.

for my $how ('reset', 'close') {
    @r = many("/short/$how", { connection => 1 }, { connection => 2 },
        { connection => 3, leave => 0.1, how => $how });
    is(join(' ', map { "$_->{status} $_->{body}" } @r[0, 1]),
        '200 {"predictions": [1]} 200 {"predictions": [2]}',
        "$how, waiting: the others");

    @r = many("/slow/$how", (map { { connection => $_ } } 1 .. 3),
        { connection => 4, leave => 0.2, how => $how });
    is(join(' ', map { "$_->{status} $_->{body}" } @r[0 .. 2]),
        join(' ', map { qq(200 {"predictions": [$_]}) } 1 .. 3),
        "$how, in flight: the others");

    @r = many("/slow/$how/all", map {
        { connection => $_ % 2, leave => 0.2, how => $how }
    } 1 .. 4);
    is(join(' ', map { $_->{status} } @r), '0 0 0 0', "$how: all");
}

ok($t->reached('/', in_flight => 0, queued => 0), 'nothing is left');
ok($t->reached('/', aborted => 10), 'aborted')
    or diag($t->location('/')->{aborted});
four('/afterwards', map { {} } 1 .. 4);

done_testing;


# four requests that must be one batch; returns what the backend saw of it

sub four {
    my ($uri, @how) = @_;

    $b->clear;
    my @got = many($uri, @how);
    my @seen = $b->requests;

    ok(@seen == 1 && 4 == @{$seen[0]{rows} || []} && !(grep {
        my $row = $how[$_]{row} || $_ + 1;
        !$got[$_]{complete} || $got[$_]{status} != 200
            || $got[$_]{body} ne qq({"predictions": [$row]})
    } 0 .. 3), "$uri: a batch, with everybody's own answer")
        or diag(scalar(@seen), map {
            "\n$_->{status} " . substr($_->{body}, 0, 100)
        } @got);

    return $seen[0] || { headers => {}, header_list => [] };
}


sub many {
    my ($uri, @how) = @_;

    my $n = 0;
    my @requests = map {
        my %how = %$_;
        my $row = delete $how{row};

        $n++;
        $row = $n unless defined $row;
        { uri => $uri, body => qq({"instances": [$row]}), %how };
    } @how;

    $t->write_file('requests.json', JSON::PP::encode_json(\@requests));

    my $port = $t->port(8443);
    my $said = `'$python' '$FindBin::Bin/lib/http3-client' $port \\
        <'$dir/requests.json' 2>'$dir/client.log'`;
    my $got = eval { JSON::PP::decode_json($said) };

    diag($t->read_file('client.log')) unless $got;

    return @{$got || [map { { status => 0, body => '' } } @how]};
}
