#!/usr/bin/perl

# Triton behind a batched location, and without: the Open Inference Protocol
# in JSON and in binary tensors.

use warnings;
use strict;

use Test::Mark;
use Test::Mark::Peer qw(triton);
use Test::Mark::Alike;
use Test::Mark::V2 qw(infer tensor bytes_tensor);

my $t = Test::Mark->new;
my $peer = Test::Mark::Peer->new($t, 'triton',
                                 ready => '/v2/models/echo/ready');

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
            proxy_pass http://127.0.0.1:%%PORT_triton%%;
        }

        location /plain/ {
            proxy_pass http://127.0.0.1:%%PORT_triton%%/;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

my %same = (location => '/v2/');
my $all_binary = '{"binary_data_output": true}';

alike($t, 'rows', [ map { add($_, rows => 1 + $_ % 3) } 1 .. 24 ], %same);
alike($t, 'nested', [ map { add($_, nested => 1) } 1 .. 8 ], %same);
alike($t, 'one output', [ map {
    add($_, outputs => '[{"name": "difference"}]')
} 1 .. 8 ], %same);
alike($t, 'a version', [ map {
    { %{add($_)}, uri => '/v2/models/add_sub/versions/1/infer' }
} 1 .. 8 ], %same);
alike($t, 'priorities', [ map {
    add($_, parameters => qq({"priority": $_, "timeout": ${_}0000000}))
} 1 .. 8 ], %same);

alike($t, 'numbers', [ map { {
    infer('/v2/models/add_sub/infer', id => qq("$_"), inputs => [
        tensor('a', 'FP32', '2,3', "1e-7,1E5,0.$_,3.4e38,-0.0,16777217"),
        tensor('b', 'FP32', '2,3', "0,$_,1e-45,3.4e38,-0.0,0.5"),
    ])
} } 1 .. 8 ], %same);
alike($t, 'not a number', [ map {
    add($_, a => "NaN,-Infinity,$_")
} 1 .. 8 ], %same);

for (['bool', 'BOOL', 'true', 'false'], ['u8', 'UINT8', 0, 255],
     ['i16', 'INT16', -32768, 7], ['i32', 'INT32', -2147483648, 8],
     ['u64', 'UINT64', '18446744073709551615', 1],
     ['f64', 'FP64', '1e-300', '0.1'])
{
    my ($name, $type, @values) = @$_;

    alike($t, $type, [ map { {
        infer('/v2/models/echo/infer', id => qq("$_"), inputs => [
            tensor($name, $type, '1,2', join ',', $values[$_ % 2], $values[0]),
        ], outputs => qq([{"name": "${name}_out"}]))
    } } 1 .. 4 ], %same);
}

alike($t, 'strings', [ map {
    upper($_, qq("text $_"), '"\\u00e4\\u20ac\\n\\"\\\\\\/"', '"ß😀"', '"/"')
} 1 .. 12 ], %same);

# the server prints ids again, in its own way

alike($t, 'ids with escapes', [ map {
    add($_, id => qq("\\u0069d \\u00e4\\/ \\"$_\\""))
} 1 .. 4 ], %same, location => undef);
alike($t, 'ids and none', [ map {
    add($_, id => (undef, '""', qq("$_"))[$_ % 3])
} 1 .. 12 ], %same);

# binary

alike($t, 'binary', [ map { binary($_, 1 + $_ % 3) } 1 .. 24 ], %same);
alike($t, 'binary in, JSON out', [ map {
    binary($_, 2, parameters => undef)
} 1 .. 8 ], %same);
alike($t, 'JSON in, binary out', [ map {
    add($_, rows => 2, parameters => $all_binary)
} 1 .. 8 ], %same);
alike($t, 'one output binary, one not', [ map {
    binary($_, 2, parameters => undef, outputs => '[{"name": "difference",'
        . ' "parameters": {"binary_data": false}}, {"name": "sum",'
        . ' "parameters": {"binary_data": true}}]')
} 1 .. 8 ], %same);
alike($t, 'binary beside JSON', [ map { {
    infer('/v2/models/add_sub/infer', id => qq("$_"), inputs => [
        tensor('a', 'FP32', '1,3', \pack('f<*', $_, 2, 3)),
        tensor('b', 'FP32', '1,3', "1,$_,2"),
    ], parameters => $all_binary)
} } 1 .. 8 ], %same);
alike($t, 'no ids', [ map { binary($_, 1, id => undef) } 1 .. 8 ], %same);

alike($t, 'strings in binary form', [ map { {
    infer('/v2/models/upper/infer', id => qq("$_"), inputs => [
        bytes_tensor('text', '3,1', "a\0$_", "\xff\xfe", 'b' x (100 * $_)),
    ], parameters => $all_binary)
} } 1 .. 12 ], %same);

alike($t, 'half floats and others', [ map { {
    infer('/v2/models/echo/infer', inputs => [
        tensor('f16', 'FP16', '2,2', \pack('S<4', 0x3c00 + $_, 1, 2, 3)),
        tensor('u8', 'UINT8', '2,1', \pack('C2', $_, 255)),
        tensor('f64', 'FP64', '2,3', \pack('d<6', $_ / 3, 1 .. 5)),
        tensor('bool', 'BOOL', '2,1', \pack('C2', 1, $_ % 2)),
    ], outputs => '[' . join(',', map {
        qq({"name": "${_}_out", "parameters": {"binary_data": true}})
    } qw(f16 u8 f64 bool)) . ']')
} } 1 .. 8 ], %same);

# errors: everybody has his own, with his own id in it

$same{status} = 0;

my (undef, $got) = alike($t, 'a bad row', [ map {
    upper($_, $_ == 5 ? '""' : qq("text $_"))
} 1 .. 12 ], %same);

is(join(' ', map { $_->{status} } @$got),
    '200 200 200 200 500 200 200 200 200 200 200 200', 'only the guilty one');

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
        tensor('a', 'FP32', '1,3', \pack('f<3', 1, 2, $_)),
    ])
} } 1 .. 4 ], %same);
alike($t, 'no model', [ map {
    { %{add($_)}, uri => '/v2/models/none/infer' }
} 1 .. 4 ], %same);

delete $same{location};

my $binary = binary(1, 1);

alike($t, 'malformed', [
    (map { { %{add(1)}, body => $_ } } '', '[1]', '{"inputs": [', '{}',
        '{"inputs": []}'),
    add(1, id => 42), add(1, a => '1,2'), add(1, rows => 0),
    { %$binary, body => substr($binary->{body}, 0, -4) },
    { %$binary, body => "$binary->{body}1234" },
    (map { { %$binary, headers => {
        'Inference-Header-Content-Length' => $_ } } } 99999, 5),
], %same);

# raw requests and sequences pass

alike($t, 'raw', [ map { {
    method => 'POST', uri => '/v2/models/upper/infer', body => "raw $_",
    headers => { 'Inference-Header-Content-Length' => 0 },
} } 1 .. 4 ], %same);
alike($t, 'sequences', [ map {
    add($_, parameters => qq({"sequence_id": $_, "sequence_start": true}))
} 1 .. 4 ], %same);

is($t->location('/v2/')->{passed}{stateful}, 4, 'sequences: counted');

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


sub binary {
    my ($n, $rows, %o) = @_;

    return { infer('/v2/models/add_sub/infer', id => qq("binary-$n"),
        parameters => $all_binary, inputs => [
            tensor('a', 'FP32', "$rows,3", \pack('f<*', map { $n + $_ / 7 }
                1 .. 3 * $rows)),
            tensor('b', 'FP32', "$rows,3", \pack('f<*', 1 .. 3 * $rows)),
        ], %o) };
}


sub upper {
    my ($n, @strings) = @_;

    return { infer('/v2/models/upper/infer', id => qq("upper-$n"), inputs => [
        tensor('text', 'BYTES', @strings . ',1', join ',', @strings),
    ]) };
}
