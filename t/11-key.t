#!/usr/bin/perl

# Who may share a batch: only requests that the backend could not tell apart.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;

my $t = Test::Mark->new;
my $b = $t->backend(8081);
my $p = $t->port(8080);

my $tls = $t->has_option('http_ssl_module') && certificate() ? <<'EOC' : '';
        listen 127.0.0.1:%%PORT_8443%% ssl;
        ssl_certificate %%DIR%%/cert.pem;
        ssl_certificate_key %%DIR%%/key.pem;
EOC

# nginx itself is the client with TLS, because Perl's core has none

my $fronts = $tls ? <<'EOC' : '';
    server {
        listen 127.0.0.1:%%PORT_8091%%;

        location / {
            proxy_pass http://127.0.0.1:%%PORT_8080%%;
            proxy_set_header Host $http_host;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_8092%%;

        location / {
            proxy_pass https://127.0.0.1:%%PORT_8443%%;
            proxy_set_header Host $http_host;
        }
    }
EOC

$t->conf(<<"EOC")->run;
%%GLOBALS%%

events {
    worker_connections 2048;
}

http {
    %%HTTP%%

    upstream backend {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 16;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host \$host;
    proxy_set_header X-Scheme \$scheme;

    # whatever may share has met by then

    mark_max_batch_size 64;
    mark_max_queue_delay 1s;

    mark_batch_ignore_header X-Seq x-attempt;

    server {
        listen 127.0.0.1:%%PORT_8080%%;
$tls

        location / {
            mark_batch v1;
            proxy_pass http://backend;
        }

        location /agent {
            mark_batch v1;
            mark_batch_key \$http_user_agent "\$http_referer\$http_dnt";
            proxy_pass http://backend;
        }

        location /own {
            mark_batch v1;
            mark_batch_ignore_header X-Own;
            proxy_pass http://backend;
        }

        location ~ ^/v1/models/(\\w+):predict\$ {
            mark_batch v1;
            proxy_pass http://backend/upstream/\$1;
        }

        location = /mark_status {
            mark_status json;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_8085%%;

        location / {
            mark_batch v1;
            proxy_pass http://backend;
        }
    }

$fronts
}
EOC


sub certificate {
    my $dir = $t->dir;

    return 0 == system "openssl req -x509 -newkey rsa:2048 -nodes"
        . " -keyout $dir/key.pem -out $dir/cert.pem -days 30 -subj /CN=test"
        . " >/dev/null 2>&1";
}


# Each case has requests of two kinds or more; of every kind two are sent.
# Those kinds must not meet, or, further down, must.  A kind says what is
# different about it.  An URI of its own keeps a case from all others.

my (%apart, %together);

sub headers {
    my ($name, @values) = @_;

    return map { { headers => [defined $_ ? ($name => $_) : ()] } } @values;
}

%apart = (
    'uri' => [map { { uri => "/uri/$_" } } qw(a b A)],
    'uri-escape' => [{ uri => '/esc/a/b' }, { uri => '/esc/a%2Fb' }],
    'uri-slashes' => [{ uri => '/slash/a' }, { uri => '/slash//a' }],
    'args' => [map { { uri => "/args$_" } } '', '?', '?x=1', '?x=2'],
    'host' => [headers(Host => 'a', 'b', 'b:80')],
    'request-line' => [map { { uri => "http://$_/request-line",
                               headers => { Host => 'c' } } } qw(a b)],
    'no-host' => [{}, { bytes => '1.0' }],
    'content-type' => [headers('Content-Type' => 'application/json',
                               'application/json; charset=utf-8',
                               'text/plain')],
    'accept' => [headers(Accept => undef, '*/*', 'application/json')],
    'language' => [headers('Accept-Language' => 'en', 'de')],
    'authorization' => [headers(Authorization => undef, 'Bearer a',
                                'Bearer b', 'bearer a')],
    'cookie' => [headers(Cookie => undef, 'a=1', 'a=2', 'a=1; b=2')],
    'tenant' => [headers('X-Tenant' => undef, '1', '2', '12', '')],
    'tenants' => [map { { headers => [map { ('X-Tenant', $_) } @$_] } }
                  ['1'], ['1', '1'], ['1', '2'], ['2', '1']],
    'borders' => [map { { headers => [@$_] } }
                  ['X-A', 'b', 'X-C', 'd'], ['X-A', 'bX-C', 'X-D', ''],
                  ['X-A', "b x-c d"], ['X-AB', '', 'X-C', 'd']],
    'names' => [map { { headers => { $_ => 'x' } } } qw(X-A X-B)],
    'method-override' => [headers('X-HTTP-Method-Override' => 'PUT', 'GET')],
    'api-key' => [headers('X-Api-Key' => 'a', 'b')],
    'conditional' => [headers('If-Match' => undef, '"a"')],
    'range' => [headers(Range => undef, 'bytes=0-1')],
    'signature' => [map { { before => $_ } } '', '"signature_name": "a", ',
                    '"signature_name": "b", ', '"signature_name": "", ',
                    '"signature_name": null, '],
    'nan' => [{}, { row => 'NaN' }],
    'key-agent' => [map { { uri => '/agent', headers => {
                    'User-Agent' => $_ } } } 'a', 'b'],
    'key-both' => [map { { uri => '/agent2', headers => {
                   'User-Agent' => $_->[0], Referer => $_->[1] } } }
                   ['a', 'bc'], ['ab', 'c']],
    'ignored-elsewhere' => [map { { uri => '/own/x', headers => {
                            'X-Seq' => $_ } } } 1, 2],
    'model' => [map { { uri => "/v1/models/$_:predict" } } qw(one two)],
    'server' => [map { { port => $t->port($_), headers => { Host => 'x' } } }
                 8080, 8085],
);

$apart{scheme} = [map { { port => $t->port($_), headers => { Host => 'x' } } }
                  8091, 8092] if $tls;

%together = (
    'nothing' => [{}, {}, {}],
    'user-agent' => [headers('User-Agent' => undef, 'curl', 'Mozilla')],
    'request-id' => [headers('X-Request-Id' => undef, 1, 2)],
    'traceparent' => [headers(Traceparent => '00-1-2-03', '00-2-2-03')],
    'tracestate' => [headers(tracestate => 'a=1', 'b=2')],
    'b3' => [headers(b3 => '1-2', '3-4'), headers('X-B3-TraceId' => 1, 2)],
    'forwarded-for' => [headers('X-Forwarded-For' => '1.1.1.1', '2.2.2.2')],
    'encoding' => [headers('Accept-Encoding' => undef, 'gzip', 'br')],
    'referer' => [headers(Referer => undef, 'http://a/')],
    'connection' => [headers(Connection => 'close', 'keep-alive')],
    'ignored' => [headers('X-Seq' => undef, 1, 2),
                  headers('x-seq' => 3), headers('X-Attempt' => 4)],
    'ignored-own' => [map { { uri => '/own/y', headers => { 'x-OWN' => $_ } } }
                      1, 2],
    'name-case' => [map { { headers => { $_ => 'x' } } }
                    qw(X-Tenant x-tenant X-TENANT)],
    'chunked' => [{}, { chunked => 1 }, { chunked => 7 }],
    'http10' => [{}, { version => '1.0' }],
    'body' => [{}, { before => "\n\t" }, { after => ' ' },
               { before => '"signature_name": null, ', sig => 1 },
               { after => ', "signature_name": null', sig => 1 }],
    'key-same' => [map { { uri => '/agent3', headers => {
                   'User-Agent' => 'a', 'X-Request-Id' => $_ } } } 1, 2],
);

# an explicit signature is another one than none: compare those alone

@{$together{body}} = grep { !$_->{sig} } @{$together{body}};
$together{'body-signature'} = [
    { before => '"signature_name": "s", ' },
    { after => ', "signature_name"  :  "s"' },
    { before => '"signature\u005fname": "s", ' },
];

my (%cases, @requests, @expected);

$cases{$_} = { kinds => $apart{$_}, apart => 1 } for keys %apart;
$cases{$_} = { kinds => $together{$_} } for keys %together;

for my $name (sort keys %cases) {
    my $kinds = $cases{$name}{kinds};

    for my $n (1, 2) {
        for my $k (0 .. $#$kinds) {
            add($name, "$k.$n", %{$kinds->[$k]});
        }
    }
}


sub add {
    my ($name, $id, %r) = @_;

    my ($before, $after) = map { delete $r{$_} || '' } qw(before after);
    my $row = qq(["$name", ) . (delete $r{row} || 0) . ", $id]";
    my $body = qq({$before"instances": [$row]$after});

    push @expected, qq({"predictions": [$row]});

    if ($r{bytes}) {
        # a request of HTTP/1.0 needs no Host
        push @requests, { bytes => "POST /$name HTTP/1.0\r\nContent-Type: "
            . "application/json\r\nContent-Length: " . length($body)
            . "\r\n\r\n$body" };
        return;
    }

    push @requests, { uri => "/$name", %r, body => $body };
}


my @r = http_many(\@requests, port => $p, timeout => 30);

my @wrong = grep {
    $r[$_]{status} != 200 || $r[$_]{body} ne $expected[$_]
} 0 .. $#r;

ok(!@wrong, 'each has its own answer') or diag(map {
    "$expected[$_]\n    $r[$_]{status} $r[$_]{body}\n" } @wrong);

# What the backend received: rows know their case and kind.

my @seen = $b->requests;
my %batches;

for my $req (@seen) {
    my %members;

    for (@{$req->{rows}}) {
        my ($name, $kind) = /^\["(.*?)", \w+, (\d+)\./;
        $members{$name}{$kind}++;
    }

    ok(keys %members == 1, "only of one case: @{[sort keys %members]}")
        if keys %members != 1;

    push @{$batches{$_}}, { req => $req, kinds => $members{$_} }
        for keys %members;
}

for my $name (sort keys %cases) {
    my $case = $cases{$name};
    my @batches = @{$batches{$name} || []};
    my $kinds = @{$case->{kinds}};

    my $have = join ' | ', sort map {
        my $k = $_->{kinds};
        join ' ', map { "$_:$k->{$_}" } sort keys %$k;
    } @batches;

    my $want = join $case->{apart} ? ' | ' : ' ',
        map { "$_:2" } 0 .. $kinds - 1;

    is($have, $want, ($case->{apart} ? 'apart: ' : 'together: ') . $name);
}


# A batch goes with the headers of its members, to their URI.

sub of_kind {
    my ($name, $kind) = @_;

    my ($batch) = grep { $_->{kinds}{$kind} } @{$batches{$name}};
    return $batch->{req};
}

is(of_kind('tenant', 0)->{headers}{'x-tenant'}, undef, 'tenant: none');
is(of_kind('tenant', 1)->{headers}{'x-tenant'}, '1', 'tenant: 1');
is(of_kind('tenant', 2)->{headers}{'x-tenant'}, '2', 'tenant: 2');
is(of_kind('authorization', 2)->{headers}{authorization}, 'Bearer b',
    'authorization');
is(of_kind('cookie', 3)->{headers}{cookie}, 'a=1; b=2', 'cookie');
is(of_kind('content-type', 2)->{headers}{'content-type'}, 'text/plain',
    'content type');
is(of_kind('host', 1)->{headers}{host}, 'b', 'host');
is(of_kind('request-line', 0)->{headers}{host}, 'a', 'host of the line: a');
is(of_kind('request-line', 1)->{headers}{host}, 'b', 'host of the line: b');
is(of_kind('args', 3)->{uri}, '/args?x=2', 'arguments');
is(of_kind('uri-escape', 1)->{uri}, '/esc/a%2Fb', 'the URI as it was');
is(of_kind('model', 0)->{uri}, '/upstream/one', 'regex location: one');
is(of_kind('model', 1)->{uri}, '/upstream/two', 'regex location: two');
like(of_kind('signature', 2)->{body}, qr/"signature_name": "b"/, 'signature');
is(join(' ', map { $_->[1] } grep { $_->[0] eq 'X-Tenant' }
    @{of_kind('tenants', 3)->{header_list}}), '2 1', 'two headers of a name');

is(of_kind('encoding', 1)->{headers}{'accept-encoding'}, undef,
    'a reply must not be encoded');

SKIP: {
    skip 'no TLS, or no openssl', 2 unless $tls;

    is(of_kind('scheme', 0)->{headers}{'x-scheme'}, 'http', 'scheme: http');
    is(of_kind('scheme', 1)->{headers}{'x-scheme'}, 'https', 'scheme: https');
}

# What is wrong in mark_batch_key is told.

for ([plain => 'has no variable'], ['$a $b $c $d $e $f $g $h $i', 'too many'],
     ['$uri; mark_batch_key $uri', 'is duplicate'])
{
    my ($values, $why) = @$_;
    $values =~ s/\$(\w)\b/\$arg_$1/g;

    my ($status, $text) = $t->test_conf(<<"EOC");
%%GLOBALS%%
events { }
http { %%HTTP%% server { location / { mark_batch_key $values; } } }
EOC

    is($status, 1, "mark_batch_key: $why");
    like($text, qr/\[emerg\].*$why/, "mark_batch_key: $why: told");
}

done_testing;
