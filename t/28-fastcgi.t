#!/usr/bin/perl

# Batches for fastcgi_pass, scgi_pass and uwsgi_pass.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::CGI;

my @protocols = grep {
    Test::Mark::version_text() !~ /--without-http_${_}_module/
} qw(fastcgi scgi uwsgi);

if (!@protocols) {
    plan(skip_all => 'nginx without all of them');
    exit;
}

my %class = (fastcgi => 'FastCGI', scgi => 'SCGI', uwsgi => 'UWSGI');
my %port = (fastcgi => 8081, scgi => 8082, uwsgi => 8083);

# What the backend does is in the path; some only to batches, so that members
# that are tried alone have an answer.

my %how = (
    busy => { status => 503, body => '{"e": 503}' },
    model => { headers => [ 'X-Model' => 'resnet', 'X-Model' => 'two' ] },
    dribble => { dribble => 7 },
);

my %only_batches = (
    cut => { close => 1, cut => 95 },
    'cut-head' => { cut => 20 },
    reset => { reset => 1 },
    cookie => { headers => { 'Set-Cookie' => 'id=1' } },
    'no-length' => { close => 1 },
);

my $handler = sub {
    my ($req) = @_;

    my ($what) = $req->{uri} =~ m!([^/]*?)(?:\?|$)!;
    my @rows = @{$req->{rows} || []};

    return { status => 400, body => '{"error": "poison"}' }
        if $what eq 'poison' && grep { $_ eq '"poison"' } @rows;
    return $only_batches{$what} if $only_batches{$what} && @rows > 1;
    return $how{$what};
};

my $t = Test::Mark->new;
my $p = $t->port(8080);

my %backend = map {
    $_ => "Test::Mark::$class{$_}"->new(port => $t->port($port{$_}),
                                        handler => $handler)
} @protocols;

my $locations = join '', map { locations($_) } @protocols;

$t->conf(<<"EOC")->run;
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    upstream fastcgi {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 4;
    }

    upstream scgi {
        server 127.0.0.1:%%PORT_8082%%;
    }

    upstream uwsgi {
        server 127.0.0.1:%%PORT_8083%%;
    }

    client_body_buffer_size 16k;
    mark_max_queue_delay 30s;
    mark_max_batch_size 3;

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        server_name localhost;

        $locations

        location = /page {
            return 200 page;
        }

        location = /mark_status {
            mark_status;
        }
    }
}
EOC

all_of($_, $backend{$_}) for @protocols;

# Connections of FastCGI are kept, also by requests that went alone.

if ($backend{fastcgi}) {
    my $b = $backend{fastcgi};

    $b->clear;
    three($b, '/fastcgi/kept', 1 .. 3) for 1 .. 10;
    cmp_ok($b->connections, '<=', 2, 'fastcgi: connections are kept');

    $b->clear;
    many('/fastcgi/poison', 1, '"poison"', 3) for 1 .. 3;
    cmp_ok($b->connections, '<=', 4, 'fastcgi: kept after errors');
}

done_testing;


sub locations {
    my ($name) = @_;

    my $params = join '', map { "${name}_param $_;\n" } (
        'REQUEST_METHOD $request_method', 'CONTENT_TYPE $content_type',
        'QUERY_STRING $query_string', 'REQUEST_URI $request_uri',
        'DOCUMENT_URI $document_uri', 'SERVER_PROTOCOL $server_protocol',
        'REQUEST_SCHEME $scheme', 'HTTPS $https if_not_empty',
        'REMOTE_ADDR $remote_addr', 'REMOTE_USER $remote_user',
        'SERVER_ADDR $server_addr', 'SERVER_PORT $server_port',
        'SERVER_NAME $server_name', 'HTTP_X_SET $http_x_own',
        $name eq 'scgi' ? 'SCGI 1' : 'CONTENT_LENGTH $content_length');

    my $pass = "${name}_pass $name;\n";
    $pass .= "fastcgi_keep_conn on;\n" if $name eq 'fastcgi';

    my %lines = (
        "/$name/" => $pass,
        "/$name-file/" => "$pass ${name}_buffers 2 4k;\n"
            . "${name}_buffer_size 4k; ${name}_busy_buffers_size 4k;\n",
        "/$name-direct/" => "$pass ${name}_buffering off;\n",
        "/$name-stream/" => "$pass ${name}_request_buffering off;\n",
        "/$name-bare/" => "$pass ${name}_pass_request_headers off;\n",
        "/$name-intercept/" => "$pass ${name}_intercept_errors on;\n"
            . "error_page 503 =503 /page;\n",
        "/$name-unread/" => "$pass ${name}_pass_request_body off;\n"
            . "${name}_param NO_BODY 1;\n",
        "/$name-dead/" => "${name}_pass 127.0.0.1:%%PORT_8084%%;\n",
        "/$name-variable/" => "set \$up $name;\n${name}_pass \$up;\n",
        "/$name-plain/" => undef,
    );

    return join '', map {
        defined $lines{$_}
            ? "location $_ {\nmark_batch v1;\n$params$lines{$_}}\n"
            : "location $_ {\n$params$pass}\n"
    } sort keys %lines;
}


sub all_of {
    my ($name, $b) = @_;

    my @own = (Cookie => 'y=2', 'X-Own' => 'mine', Range => 'bytes=0-1',
               'Accept-Encoding' => 'gzip', TE => 'trailers');

    # As unbatched: the parameters, but for those of the body and its way.

    my $r = http_request($p, uri => "/$name-plain/?a=b%20c", headers => \@own,
                         body => '{"instances": [1]}');
    my $plain = ($b->requests)[-1]{params};
    my $seen = three($b, "/$name/some?a=b%20c", map { [$_, @own] } 1 .. 3);
    my $params = $seen->{params};

    is($params->{CONTENT_LENGTH}, length $seen->{body}, "$name: length");
    is($params->{HTTP_CONTENT_LENGTH}, length $seen->{body},
        "$name: length among headers");
    is("@{$seen->{repeated} || []}", '', "$name: nothing twice");

    for (qw(HTTP_ACCEPT_ENCODING HTTP_RANGE HTTP_TE)) {
        ok(defined delete $plain->{$_}, "$name: $_ of one");
    }

    for (qw(CONTENT_LENGTH HTTP_CONTENT_LENGTH REQUEST_URI DOCUMENT_URI)) {
        delete $plain->{$_};
        delete $params->{$_} unless /URI/;
    }

    is(delete $params->{REQUEST_URI}, "/$name/some?a=b%20c", "$name: URI");
    is(delete $params->{DOCUMENT_URI}, "/$name/some", "$name: path");
    is_deeply($params, $plain, "$name: parameters");
    is($params->{HTTP_X_SET}, 'mine', "$name: parameter of a header");

    # As unbatched: the answer.

    my @r = many("/$name/model", 1 .. 3);
    my $alone = http_post($p, "/$name-plain/model", '{"instances": [2]}');
    is($r[1]{raw} =~ s/^Date:.*\n//mr, $alone->{raw} =~ s/^Date:.*\n//mr,
        "$name: answer");
    is($r[1]{headers}{'x-model'}, 'resnet, two', "$name: its headers");

    # Bodies and answers that are large, slow, or of no length.

    three($b, "/$name/large", map { '"' . $_ x 100_000 . '"' } 1 .. 3);
    three($b, "/$name/some", map { '"' . $_ x 10_000 . '"' } 1 .. 3);
    three($b, "/$name/dribble", 1 .. 3);
    three($b, "/$name/no-length", 1 .. 3);
    three($b, "/$name-file/x", map { '"' . $_ x 100_000 . '"' } 1 .. 3);
    three($b, "/$name-direct/x", map { '"' . $_ x 100_000 . '"' } 1 .. 3);
    three($b, "/$name-direct/dribble", 1 .. 3);
    three($b, "/$name-stream/x", map { '"' . $_ x 100_000 . '"' } 1 .. 3);
    three($b, "/$name-variable/x", 1 .. 3);

    $seen = three($b, "/$name-bare/x", map { [$_, @own] } 1 .. 3);
    delete $seen->{headers}{host};    # which newer versions always send
    is_deeply($seen->{headers}, { 'x-set' => 'mine' }, "$name: no headers");

    # What fails.

    $b->clear;
    @r = many("/$name/poison", 1, '"poison"', 3);
    is(join("\n", said(@r)), join("\n", '200 {"predictions": [1]}',
        '400 {"error": "poison"}', '200 {"predictions": [3]}'),
        "$name: one is poisoned");
    is(scalar(() = $b->requests), 5, "$name: the batch, then by halves");

    is(join(' ', said(many("/$name/busy", 1 .. 3))),
        join(' ', ('503 {"e": 503}') x 3), "$name: busy");
    is(join(' ', said(many("/$name-intercept/busy", 1 .. 3))),
        join(' ', ('503 page') x 3), "$name: busy, intercepted");
    is(join(' ', map { $_->{status} } many("/$name/reset", 1 .. 3)),
        '502 502 502', "$name: reset");
    is(join(' ', map { $_->{status} } many("/$name/cut-head", 1 .. 3)),
        '502 502 502', "$name: cut in the head");
    is(join(' ', map { $_->{status} } many("/$name-dead/x", 1 .. 3)),
        '502 502 502', "$name: nobody there");

    # A record of FastCGI has an end; of the others, what is cut has no length
    # to tell it by, but the JSON tells it.

    my $own = join ' ', map { qq(200 {"predictions": [$_]}) } 1 .. 3;

    for my $what ('cut', 'cookie') {
        $b->clear;
        @r = many("/$name/$what", 1 .. 3);
        is(scalar @{(($b->requests)[0] || {})->{rows} || []}, 3,
            "$name: $what: a batch");

        if ($name eq 'fastcgi' && $what eq 'cut') {
            is(join(' ', map { $_->{status} } @r), '502 502 502',
                "$name: $what: nobody's answer");

        } else {
            is(join(' ', said(@r)), $own, "$name: $what: own answers");
        }
    }

    # No body at all: seen by the first batch.

    $b->clear;
    @r = many("/$name-unread/x", 1 .. 3);
    is(join(' ', map { $_->{status} } @r), '400 400 400', "$name: unread");
    @r = many("/$name-unread/x", 1 .. 3);
    is(join(' ', map { $_->{status} } @r), '400 400 400',
        "$name: unread again");
    is($t->location("/$name-unread/")->{passed}{replaced}, 3,
        "$name: unread: not batched any longer");
    is(join('', map { $_->{body} } $b->requests), '', "$name: unread, truly");

    three($b, "/$name/afterwards", 1 .. 3);
}


# three requests that must be one batch; returns what the backend saw of it

sub three {
    my ($b, $uri, @rows) = @_;

    $b->clear;
    my @got = many($uri, @rows);
    my @seen = $b->requests;

    my @want = map { qq(200 {"predictions": [$_]}) }
        map { ref $_ ? $_->[0] : $_ } @rows;

    ok(@seen == 1 && join("\n", said(@got)) eq join("\n", @want),
        "$uri: a batch, with everybody's own answer")
        or diag(scalar(@seen), map { "\n" . substr($_, 0, 100) } said(@got));

    return $seen[-1] || {};
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
