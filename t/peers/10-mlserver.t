#!/usr/bin/perl

# MLServer behind a batched location, and without: the Open Inference Protocol
# in JSON.

use warnings;
use strict;

use Test::Mark;
use Test::Mark::Peer qw(mlserver);
use Test::Mark::Alike;
use Test::Mark::V2 qw(infer tensor);

my $t = Test::Mark->new;
my $peer = Test::Mark::Peer->new($t, 'mlserver', ready => '/v2/health/ready');

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
    worker_connections 512;
}

http {
    %%HTTP%%

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /v2/ {
            mark_batch v2;
            mark_max_queue_delay 300ms;
            proxy_pass http://127.0.0.1:%%PORT_mlserver%%;
        }

        location /plain/ {
            proxy_pass http://127.0.0.1:%%PORT_mlserver%%/;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

# The server repeats the id in ce-id and ce-requestid: those of a batch say
# nothing to its members, see below.  With a longer answer it says that it
# would have compressed it.

my %same = (location => '/v2/', without => [qw(ce-id ce-requestid vary)]);

alike($t, 'rows', [ map { add($_, rows => 1 + $_ % 3) } 1 .. 24 ], %same);
alike($t, 'nested', [ map { add($_, nested => 1) } 1 .. 8 ], %same);
alike($t, 'flat and nested', [ map { {
    infer('/v2/models/echo/infer', id => qq("$_"), inputs => [
        tensor('x', 'INT32', '2,2', $_ % 2 ? "1,2,3,$_" : "[1,2],[3,$_]"),
    ])
} } 1 .. 8 ], %same);

alike($t, 'one output', [ map {
    add($_, outputs => '[{"name": "difference"}]')
} 1 .. 8 ], %same);

alike($t, 'a version', [ map {
    { %{add($_)}, uri => '/v2/models/add_sub/versions/1/infer' }
} 1 .. 8 ], %same);

alike($t, 'parameters', [ map {
    add($_, parameters => '{"priority": ' . $_ % 3
        . ', "timeout": ' . $_ * 1000000 . ', "mine": "\u006d"}')
} 1 .. 8 ], without => $same{without}, status => 0);

alike($t, 'priorities', [ map {
    add($_, parameters => qq({"priority": $_, "timeout": ${_}000000}))
} 1 .. 8 ], %same);

# numbers of all lengths; what has no JSON comes as null

alike($t, 'numbers', [ map { {
    infer('/v2/models/add_sub/infer', id => qq("$_"), inputs => [
        tensor('a', 'FP32', '2,3', "1e-7,1E5,0.$_,3.4e38,-0.0,16777217"),
        tensor('b', 'FP32', '2,3', "0,$_,1e-45,3.4e38,-0.0,0.5"),
    ])
} } 1 .. 8 ], %same);

my @types = (['BOOL', 'true', 'false'], ['UINT8', 0, 255],
    ['INT16', -32768, 7], ['UINT64', '18446744073709551615', 1],
    ['FP64', '1e-300', '0.1']);

for (@types) {
    my ($type, @values) = @$_;

    alike($t, $type, [ map { {
        infer('/v2/models/echo/infer', id => qq("$_"), inputs => [
            tensor('x', $type, '1,2', join ',', $values[$_ % 2], $values[0]),
        ])
    } } 1 .. 4 ], %same);
}

alike($t, 'strings', [ map {
    upper($_, qq("text $_"), '"\\u00e4\\u20ac\\n\\"\\\\\\/"', '"ß😀"')
} 1 .. 12 ], %same);

# ids

my (undef, $got) = alike($t, 'ids', [ map {
    add($_, id => qq("id-$_"))
} 1 .. 8 ], %same);

for my $n (1 .. 8) {
    my @told = grep { defined } @{$got->[$n - 1]{headers}}
        {qw(ce-id ce-requestid)};

    ok(!grep({ /^id-/ && $_ ne "id-$n" } @told),
        'no id of another one in headers') or diag("id-$n: @told");
}

alike($t, 'ids with escapes', [ map {
    add($_, id => qq("\\u0069d \\"$_\\""))
} 1 .. 4 ], %same, location => undef);

alike($t, 'ids of the server', [ map {
    add($_, id => undef)
} 1 .. 8 ], %same, body => sub {
    $_[0] =~ s/"id":"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"/"id":""/r;
});

# errors: everybody has his own

$same{status} = 0;

(undef, $got) = alike($t, 'a bad row', [ map {
    upper($_, $_ == 5 ? '""' : qq("text $_"))
} 1 .. 12 ], %same);

is(join(' ', map { $_->{status} } @$got),
    '200 200 200 200 400 200 200 200 200 200 200 200', 'only the guilty one');

alike($t, 'a row of another type', [ map {
    add($_, a => $_ == 2 ? '"x","y","z"' : "1,2,$_")
} 1 .. 8 ], %same);
alike($t, 'rows too long', [ map { {
    infer('/v2/models/add_sub/infer', id => qq("$_"), inputs => [
        map { tensor($_, 'FP32', '1,4', '1,2,3,4') } qw(a b)
    ])
} } 1 .. 4 ], %same);
alike($t, 'an input too few', [ map { {
    infer('/v2/models/add_sub/infer', id => qq("$_"), inputs => [
        tensor('a', 'FP32', '1,3', "1,2,$_"),
    ])
} } 1 .. 4 ], %same);
alike($t, 'no model', [ map {
    { %{add($_)}, uri => '/v2/models/none/infer' }
} 1 .. 4 ], %same);

delete $same{location};

alike($t, 'malformed', [
    (map { { %{add(1)}, body => $_ } } '', '[1]', '{"inputs": [', '{}',
        '{"inputs": []}', '{"id": 42, "inputs": []}'),
    add(1, id => 42), add(1, a => '1,2'), add(1, a => 'NaN,1,2'),
    add(1, rows => 0),
], %same);

done_testing;


sub add {
    my ($n, %o) = @_;

    my $rows = defined $o{rows} ? $o{rows} : 1;
    my $a = $o{a} || join ',', map { "$n." . $_ * $_ } 1 .. 3 * $rows;
    my $b = join ',', map { $_ / 7 } 1 .. 3 * $rows;

    ($a, $b) = ("[$a]", "[$b]") if $o{nested};
    delete @o{qw(rows a nested)};

    return { infer('/v2/models/add_sub/infer', id => qq("add-$n"), inputs => [
        tensor('a', 'FP32', "$rows,3", $a), tensor('b', 'FP32', "$rows,3", $b),
    ], %o) };
}


sub upper {
    my ($n, @strings) = @_;

    return { infer('/v2/models/upper/infer', id => qq("upper-$n"), inputs => [
        tensor('text', 'BYTES', @strings . ',1', join ',', @strings),
    ]) };
}
