#!/usr/bin/perl

# Batches with what else may stand in a location: what the backend is asked for
# is what it would be without mark_batch.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::HTTP;

my $t = Test::Mark->new;

my $handler = sub {
    my ($req) = @_;

    return unless $req->{uri} =~ m!^/check!;
    return { status => 403, body => 'no' } if $req->{headers}{'x-deny'};
    return { status => 200, body => '', headers => { 'X-User' => 'somebody' } };
};

my $b = $t->backend(8081, handler => $handler);
my $other = $t->backend(8082);
my $p = $t->port(8080);

$t->write_file('users', "anna:{PLAIN}one\nbert:{PLAIN}two\n");

# parts of the configuration that need an option of configure

my %parts = (
    AUTH => $t->has_option('http_auth_request_module') && <<'EOC',
        location /auth {
            mark_batch v1;
            auth_request /check;
            auth_request_set $user $upstream_http_x_user;
            proxy_set_header X-User $user;
            proxy_pass http://b;
        }

        location = /check {
            internal;
            proxy_pass http://b;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }
EOC
    REALIP => $t->has_option('http_realip_module') && <<'EOC',
        location /realip {
            mark_batch v1;
            set_real_ip_from 127.0.0.1;
            real_ip_header X-Real-IP;
            proxy_set_header X-Addr "$remote_addr $realip_remote_addr";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_pass http://b;
        }
EOC
);

my $conf = <<'EOC';
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    log_format marks '$uri $status $mark_batch_size $remote_addr '
                     '$upstream_addr $upstream_status '
                     '$upstream_response_time';
    access_log %%DIR%%/access.log marks;

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
    }

    # for locations that do not replace "proxy_set_header Connection"

    upstream cached {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 4;
    }

    map $http_x_kind $kind {
        default none;
        a alpha;
    }

    limit_req_zone $server_port zone=rate:64k rate=1r/m;
    limit_conn_zone $server_port zone=conns:64k;

    client_body_buffer_size 1m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    mark_max_queue_delay 30s;
    mark_max_batch_size 3;

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        server_name localhost;

        rewrite ^/top/(.*)$ /part/$1;

        location /plain {
            mark_batch v1;
            proxy_pass http://cached;
        }

        location /part/ {
            mark_batch v1;
            proxy_pass http://b/v1/;
        }

        location /vars {
            mark_batch v1;
            set $up b;
            proxy_pass http://$up/fixed$uri?$args;
        }

        location ~ ^/re/(\w+)/(?<name>\w+)$ {
            mark_batch v1;
            proxy_set_header X-Captures "$1 $2 $name";
            proxy_pass http://b/$name/$1;
        }

        location ~ ^/nogroups {
            mark_batch v1;
            proxy_pass http://b;
        }

        location /break/ {
            mark_batch v1;
            rewrite ^/break/(.*)$ /$1/end break;
            proxy_set_header X-Captures $1;
            proxy_pass http://b;
        }

        location /last/ {
            rewrite ^/last/(.*)$ /plain/$1 last;
        }

        location /if {
            mark_batch v1;
            set $v zero;

            if ($arg_a = 1) {
                set $v one;
            }

            if ($arg_a = 2) {
                proxy_pass http://127.0.0.1:%%PORT_8082%%;
            }

            proxy_set_header X-V $v;
            proxy_pass http://b;
        }

        location /except {
            mark_batch v1;
            limit_except POST {
                deny all;
            }
            proxy_pass http://b;
        }

        location /excepted {
            mark_batch v1;
            limit_except GET {
                proxy_pass http://127.0.0.1:%%PORT_8082%%;
            }
            proxy_pass http://b;
        }

        location /try {
            try_files /none $uri @named;
        }

        location /error {
            error_page 404 = @named;
            return 404;
        }

        location @named {
            mark_batch v1;
            proxy_set_header X-Named yes;
            proxy_pass http://b;
        }

        location /outer/ {
            mark_batch v1;
            proxy_pass http://b;

            location /outer/inner/ {
                proxy_pass http://b/in/;
            }
        }

        location /map {
            mark_batch v1;
            proxy_set_header X-Mapped $kind;
            proxy_pass http://b;
        }

        location /basic {
            mark_batch v1;
            auth_basic realm;
            auth_basic_user_file users;
            proxy_set_header X-User $remote_user;
            proxy_pass http://b;
        }

        location /mirror {
            mark_batch v1;
            mirror /copy;
            proxy_pass http://b;
        }

        location /copy {
            internal;
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8082%%$request_uri;
        }

        location /rate {
            mark_batch v1;
            limit_req zone=rate burst=2 nodelay;
            proxy_pass http://b;
        }

        location /conns {
            mark_batch v1;
            limit_conn conns 3;
            proxy_pass http://b;
        }

        location /headers {
            mark_batch v1;
            proxy_set_header Host "$host:$server_port";
            proxy_set_header X-Scheme "$scheme<$https>";
            proxy_set_header X-Length $content_length;
            proxy_set_header X-Body $request_body;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Server "$server_addr $server_name";
            proxy_set_header X-Client "$remote_addr $binary_remote_addr";
            proxy_set_header X-Cookie $cookie_x;
            proxy_set_header X-Arg "$arg_a|$args|$query_string|$is_args";
            proxy_set_header X-Copy $http_x_own;
            proxy_set_header X-Request "$request_method $request_uri";
            proxy_set_header X-Line $request;
            proxy_set_header X-Type $content_type;
            proxy_set_header Accept-Encoding $http_accept_encoding;
            proxy_pass http://b;
        }

        AUTH
        REALIP

        location = /mark_status {
            mark_status;
        }
    }
}
EOC

for my $part (keys %parts) {
    my $text = $parts{$part} || '';
    $conf =~ s/^ *$part\n/$text/m or die "no place for $part";
}

$t->conf($conf)->run;

my (@r, $seen, $r);

# What the backend is asked for.

for (['/plain', '/plain'],
     ['/plain?a=b%20c', '/plain?a=b%20c'],
     ['/pl%61in/%20x', '/pl%61in/%20x'],
     ['/part/x?a=1', '/v1/x?a=1'],
     ['/part/%20/x', '/v1/%20/x'],
     ['/top/x', '/v1/x'],
     ['/vars?a=1', '/fixed/vars?a=1'],
     ['/re/one/two', '/two/one', 'x-captures' => 'one two two'],
     ['/nogroups/x', '/nogroups/x'],
     ['/break/x?a=1', '/x/end?a=1', 'x-captures' => 'x'],
     ['/last/x', '/plain/x'],
     ['/if', '/if', 'x-v' => 'zero'],
     ['/if?a=1', '/if?a=1', 'x-v' => 'one'],
     ['/if?a=2', '/if?a=2', backend => $other],
     ['/except', '/except'],
     ['/excepted', '/excepted', backend => $other],
     ['/try/x', '/try/x', 'x-named' => 'yes'],
     ['/error/x', '/error/x', 'x-named' => 'yes'],
     ['/outer/x', '/outer/x'],
     ['/outer/inner/x', '/in/x'])
{
    my ($uri, $at, %expected) = @$_;
    my $backend = delete $expected{backend} || $b;

    $seen = three($uri, backend => $backend);
    is($seen->{uri}, $at, "$uri: backend");
    is($seen->{headers}{$_}, $expected{$_}, "$uri: $_") for keys %expected;
}

is(http_get($p, '/except')->{status}, 403, '/except: GET');
is(three('/map', headers => { 'X-Kind' => 'a' })->{headers}{'x-mapped'},
    'alpha', '/map');
is(three('/map')->{headers}{'x-mapped'}, 'none', '/map: default');

# Those whom a phase before refuses are not in the batch.

SKIP: {
    skip 'nginx without auth_request', 4 unless $parts{AUTH};

    is(http_post($p, '/auth', '{"instances": [0]}', 'X-Deny' => 1)->{status},
        403, '/auth: denied');
    $seen = three('/auth');
    is($seen->{headers}{'x-user'}, 'somebody', '/auth: auth_request_set');
}

my %anna = (Authorization => 'Basic YW5uYTpvbmU=');

is(http_post($p, '/basic', '{"instances": [0]}')->{status}, 401, '/basic: 401');
is(three('/basic', headers => \%anna)->{headers}{'x-user'}, 'anna', '/basic');

$b->clear;
@r = many('/rate', 1 .. 6);
is(join(' ', sort map { $_->{status} } @r), '200 200 200 503 503 503', '/rate');
is(scalar(map { @{$_->{rows}} } $b->requests), 3, '/rate: the backend');

$b->freeze;
my @clients = map { client('/conns', $_) } 1 .. 3;
$t->reached('/conns', in_flight => 1);
is(client('/conns', 4)->response->{status}, 503, '/conns: over');
$b->resume;
is(join(' ', map { $_->response->{body} =~ /(\d+)/ } @clients), '1 2 3',
    '/conns');
three('/conns');

# A mirror has each request by itself.

$other->clear;
three('/mirror', rows => [7, 8, 9]);
is(join(' ', sort map { "@{$_->{rows}}" } $other->wait_requests(3)), '7 8 9',
    '/mirror: copies');
is($t->location('/copy')->{passed}{subrequest}, 3, '/mirror: not batched');

# The headers that proxy_set_header makes.

$seen = three('/headers?a=1', rows => [4, 5, 6], headers => {
    Cookie => 'y=2; x=why', 'X-Own' => 'mine', 'X-Forwarded-For' => '1.2.3.4',
    'Accept-Encoding' => 'gzip, deflate', Expect => '100-continue',
    Range => 'bytes=0-1', TE => 'trailers',
});

my $h = $seen->{headers};
my $addr = pack 'C4', 127, 0, 0, 1;

for (['host', "localhost:$p"], ['x-scheme', 'http<>'],
     ['content-length', length $seen->{body}],
     ['x-length', length $seen->{body}], ['x-body', $seen->{body}],
     ['x-forwarded-for', '1.2.3.4, 127.0.0.1'],
     ['x-server', '127.0.0.1 localhost'], ['x-client', "127.0.0.1 $addr"],
     ['x-cookie', 'why'], ['x-arg', '1|a=1|a=1|?'], ['x-copy', 'mine'],
     ['x-own', 'mine'], ['x-request', 'POST /headers?a=1'],
     ['x-line', 'POST /headers?a=1 HTTP/1.1'],
     ['x-type', 'application/json'], ['cookie', 'y=2; x=why'],
     ['accept-encoding', undef], ['expect', undef], ['range', undef])
{
    is($h->{$_->[0]}, $_->[1], "header $_->[0]");
}

is(join(' ', sort @{$seen->{rows}}), '4 5 6', 'the body');

my %times;
$times{lc $_->[0]}++ for @{$seen->{header_list}};
is(join(' ', grep { $times{$_} > 1 } keys %times), '', 'each header once');

SKIP: {
    skip 'nginx without realip', 5 unless $parts{REALIP};

    $b->clear;
    @r = many('/realip', map { [$_, 'X-Real-IP' => "10.0.0.$_"] } 1 .. 3);
    ($seen) = $b->requests;
    my $first = $seen->{rows}[0];
    is(join(' ', map { $_->{status} } @r), '200 200 200', '/realip');
    is($seen->{headers}{'x-addr'}, "10.0.0.$first 127.0.0.1",
        '/realip: of the first');
    is($seen->{headers}{'x-forwarded-for'}, "10.0.0.$first",
        '/realip: forwarded');
    ok($t->wait_access_log(qr!^/realip 200 3 10.0.0.$_ !m),
        "/realip: logged $_") for 1, 3;
}

# Carriers use cached connections.

$b->clear;
three('/plain/again') for 1 .. 10;
cmp_ok($b->connections, '<=', 2, 'keepalive');

done_testing;


# three requests that must be one batch; returns what the backend saw

sub three {
    my ($uri, %o) = @_;

    my @rows = @{$o{rows} || [1, 2, 3]};
    my $backend = $o{backend} || $b;
    my $before = $backend->requests;

    my @got = many($uri, map { [$_, %{$o{headers} || {}}] } @rows);
    my @batches = grep { $_->{rows} && @{$_->{rows}} == 3 }
        splice @{[$backend->requests]}, $before;

    ok(@batches == 1 && !(grep {
        "$got[$_]{status} $got[$_]{body}"
            ne qq(200 {"predictions": [$rows[$_]]})
    } 0 .. 2), "$uri: a batch, with everybody's own answer")
        or diag(scalar(@batches), map {
            "\n$_->{status} " . substr($_->{body}, 0, 100)
        } @got);

    return $batches[0] || { headers => {}, header_list => [], rows => [] };
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


sub client {
    my ($uri, $row) = @_;

    my $c = Test::Mark::HTTP->new($p);
    $c->send(uri => $uri, body => qq({"instances": [$row]}));

    return $c;
}
