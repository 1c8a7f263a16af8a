#!/usr/bin/perl

# The Open Inference Protocol: tensors in JSON and in binary form, ids, what
# may share a batch and what passes.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::Mark;
use Test::Mark::Alike;
use Test::Mark::V2 qw(infer tensor bytes_tensor v2_models);

my $t = Test::Mark->new;
my $p = $t->port(8080);
my %b;

for (['triton', 8081], ['mlserver', 8082], ['python', 8083]) {
    my ($dialect, $port) = @$_;
    $b{$dialect} = $t->backend($port, handler => v2_models($dialect));
}

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
    worker_connections 512;
}

http {
    %%HTTP%%

    mark_max_queue_delay 100ms;

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /triton/ {
            mark_batch v2;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }

        location /unlike/ {
            mark_batch v2;
            mark_max_queue_delay 1s;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }

        location /odd/ {
            mark_batch v2;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }

        location /full/ {
            mark_batch v2;
            mark_max_queue_delay 10s;
            mark_max_batch_size 4;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }

        location /mlserver/ {
            mark_batch v2;
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
        }

        location /python/ {
            mark_batch v2;
            proxy_pass http://127.0.0.1:%%PORT_8083%%;
        }

        location /plain/ {
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }

        location /plain/mlserver/ {
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
        }

        location /plain/python/ {
            proxy_pass http://127.0.0.1:%%PORT_8083%%;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

my $binary_output = '{"binary_data_output":true}';

# MLServer tells ids in headers as well, which members of a batch do not get

my @ids = qw(ce-id ce-requestid);

for my $dialect (qw(triton mlserver python)) {
    my %same = (location => "/$dialect/", without => \@ids);

    alike($t, "$dialect: add", [ map { add($dialect, $_, 1 + $_ % 3) }
                                 1 .. 12 ], %same);
    alike($t, "$dialect: nested", [ map { nested($dialect, $_) } 1 .. 8 ],
        %same);
    alike($t, "$dialect: strings", [ map { upper($dialect, $_) } 1 .. 8 ],
        %same);

    alike($t, "$dialect: an output of two", [ map {
        add($dialect, $_, 1, outputs => '[{"name":"difference"}]')
    } 1 .. 8 ], %same);

    # members in another order, and white space

    alike($t, "$dialect: as others write it", [ map { {
        method => 'POST', uri => "/$dialect/v2/models/echo/infer",
        body => qq({\n "inputs" : [\t{ "data" : [ [ 1.50 , $_ ] ],\r\n)
            . qq( "datatype" : "FP32" , "shape" : [ 1 , 2 ] , "name" : "x" })
            . qq( ] ,\n "id" : "other: $_" } \n),
    } } 1 .. 6 ], %same);
}

# numbers are not printed again

alike($t, 'text of numbers', [ map { {
    infer('/triton/v2/models/echo/infer', id => qq("n$_"), inputs => [
        tensor('x', 'FP64', '1,4', "$_.50,1E$_,-0.0,123456789012345678$_"),
        tensor('y', 'BOOL', '1,1', $_ % 2 ? 'true' : 'false'),
        tensor('z', 'UINT64', '1,1,1,1', "1844674407370955161$_"),
    ]),
} } 1 .. 5 ], location => '/triton/');

# a row is a row, whatever is in it

alike($t, 'rows of unlike text', [ map { {
    infer('/triton/v2/models/echo/infer', id => qq("$_->[0]"), inputs => [
        tensor('x', 'INT64', "$_->[0],2", join(',', @{$_->[1]})),
    ]),
} } [1, [1, 22]], [3, [333, 4, 5, 66666, 7, 8]], [2, [(-1) x 4]] ],
    location => '/triton/');

# strings: escapes are what they are

my @strings = ('""', '"\\u0000\\ud83d\\ude00"', '"a\\"],[{\\\\"', '"ä€"',
    '"' . 'x' x 5000 . '"');

alike($t, 'strings', [ map { {
    infer('/python/v2/models/echo/infer', id => qq("s$_"), inputs => [
        tensor('s', 'BYTES', '2,1', "$strings[$_],\"$_\""),
    ]),
} } 0 .. $#strings ], location => '/python/');

# ids: of each its own, or none

my ($plain, $got) = alike($t, 'ids', [ map {
    add('triton', $_, 1, id => $_ % 2 ? qq("id-$_") : '""')
} 1 .. 8 ], location => '/triton/');

is($got->[2]{body} =~ /"id":"(.*?)"/ && $1, 'id-3', 'its own id');

alike($t, 'no ids', [ map { add('triton', $_, 1, id => undef) } 1 .. 8 ],
    location => '/triton/');
(undef, $got) = alike($t, 'ids in headers', [ map {
    add('mlserver', $_, 1)
} 1 .. 4 ], location => '/mlserver/', without => \@ids);

for my $n (1 .. 4) {
    my @told = grep { defined } @{$got->[$n - 1]{headers}}{@ids};

    is(join(' ', grep { $_ ne "add-$n" } @told), '',
        'ids in headers: of nobody else');
}

alike($t, 'no ids, made up by the server', [ map {
    add('mlserver', $_, 1, id => undef)
} 1 .. 4 ], location => '/mlserver/', without => \@ids, body => sub {
    my ($body) = @_;
    $body =~ s/"id":"[0-9a-f]+-made-up"/"id":"made-up"/;
    return $body;
});

# binary tensors, in and out

$b{triton}->clear;

alike($t, 'binary', [ map { binary_add($_, 1 + $_ % 3) } 1 .. 12 ],
    location => '/triton/');

my @sent = grep { $_->{uri} !~ /plain/ } $b{triton}->requests;
ok(@sent && !grep({ !whole($_) } @sent), 'binary: lengths of what is sent');

alike($t, 'binary in, JSON out', [ map {
    binary_add($_, 1, parameters => undef)
} 1 .. 6 ], location => '/triton/');

alike($t, 'JSON in, binary out', [ map {
    add('triton', $_, 2, parameters => $binary_output)
} 1 .. 6 ], location => '/triton/');

alike($t, 'one output binary, one not', [ map {
    binary_add($_, 2, parameters => undef, outputs =>
        '[{"name":"sum","parameters":{"binary_data":true}},'
        . '{"name":"difference","parameters":{"binary_data":false}}]')
} 1 .. 6 ], location => '/triton/');

alike($t, 'binary beside JSON', [ map { {
    infer('/triton/v2/models/add/infer', id => qq("$_"), inputs => [
        tensor('a', 'INT32', '1,3', "$_,2,3"),
        tensor('b', 'INT32', '1,3', \pack('l<*', 4, 5, $_)),
    ], parameters => $binary_output),
} } 1 .. 6 ], location => '/triton/');

alike($t, 'strings in binary form', [ map { {
    infer('/triton/v2/models/upper/infer', id => qq("$_"), inputs => [
        bytes_tensor('text', '3,1', "a\0$_", '', 'b' x (300 * $_)),
    ], parameters => $binary_output),
} } 1 .. 6 ], location => '/triton/');

alike($t, 'all types', [ map { {
    infer('/triton/v2/models/echo/infer', inputs => [
        tensor('i8', 'INT8', '2', \pack('c2', -$_, $_)),
        tensor('u16', 'UINT16', '2,2', \pack('S<4', 1 .. 3, $_)),
        tensor('f64', 'FP64', '2,1,1', \pack('d<2', $_ / 4, -1)),
        bytes_tensor('s', '2,2', "$_", 'two', '', '4'),
    ], parameters => $binary_output),
} } 1 .. 6 ], location => '/triton/');

# bodies that come in chunks, or from a file

alike($t, 'chunked and large', [ map { {
    infer('/triton/v2/models/echo/infer', id => qq("$_"), inputs => [
        tensor('x', 'INT32', '1,20000', \pack('l<*', 1000 + $_ .. 20999 + $_)),
        tensor('y', 'INT32', '1,10000', join ',', 1000 + $_ .. 10999 + $_),
    ], parameters => $binary_output), $_ % 2 ? (chunked => 5000) : (),
} } 1 .. 6 ], location => '/triton/');

# an output that is not of rows: members are tried alone

alike($t, 'a total', [ map { {
    infer('/odd/v2/models/total/infer', id => qq("$_"), inputs => [
        tensor('x', 'INT32', '1,3', "1,2,$_"),
    ])
} } 1 .. 4 ], location => '/odd/');

is($t->location('/odd/')->{failed_batches}, 1, 'a total: failed as a batch');

# what is unlike in more than its rows shares no batch

my @unlike = (
    tensor('x', 'INT32', '1,2', '1,2'), tensor('x', 'INT32', '1,3', '1,2,3'),
    tensor('x', 'INT32', '1,2,1', '1,2'), tensor('y', 'INT32', '1,2', '1,2'),
    tensor('x', 'INT64', '1,2', '1,2'),
    tensor('x', 'INT32', '1,2', '1,2', '"p":1'),
    tensor('x', 'INT32', '1,2', \pack('l<2', 1, 2)),
);

my @more = ({ outputs => '[{"name":"x_out"}]' },
    { parameters => '{"mine":1}' }, { parameters => '{"mine":"1"}' });

$b{triton}->clear;

alike($t, 'unlike', [
    (map { { infer('/unlike/v2/models/echo/infer', inputs => [$_]) } }
        @unlike, @unlike),
    (map { { infer('/unlike/v2/models/echo/infer', inputs => [$unlike[0]],
                   %$_) } } @more, @more),
], location => '/unlike/');

is(scalar(grep { $_->{uri} eq '/unlike/v2/models/echo/infer' }
          $b{triton}->requests), @unlike + @more, 'unlike: batches of two');

# what says nothing of the answer does not keep them apart

alike($t, 'priorities and timeouts', [ map {
    add('full', $_, 1, parameters => '{"priority":' . ($_ % 2 + 1)
        . ',"timeout":' . ($_ * 1000000) . '}')
} 1 .. 4 ], location => '/full/');

is($t->location('/full/')->{batches}, 1, 'priorities: in one batch');

# faults: everybody has his own

for my $dialect (qw(triton mlserver)) {
    ($plain, $got) = alike($t, "$dialect: a bad row", [ map {
        add($dialect, $_ == 3 ? 666 : $_, 1)
    } 1 .. 8 ], location => "/$dialect/", without => \@ids, status => 0);

    is(join(' ', map { $_->{status} } @$got),
        '200 200 400 200 200 200 200 200', "$dialect: only the guilty one");
}

alike($t, 'a bad row among binary ones', [ map {
    binary_add($_ == 3 ? 666 : $_, 1)
} 1 .. 8 ], location => '/triton/', status => 0);

# the whole batch is at fault

alike($t, 'no such model', [ map { { infer('/triton/v2/models/none/infer',
    inputs => [ tensor('x', 'INT32', '1,1', $_) ]) } } 1 .. 4 ],
    location => '/triton/', status => 400);

# what passes, by reason

my $int = tensor('x', 'INT32', '1,1', '7');
my %json = infer('/triton/v2/models/echo/infer', inputs => [$int]);
my %binary = infer('/triton/v2/models/echo/infer', inputs => [
    tensor('x', 'INT32', '1,1', \pack('l<', 7)) ]);

passed('stateful', map {
    { infer('/triton/v2/models/echo/infer', inputs => [$int],
            parameters => "{$_}") }
} '"sequence_id":7', '"sequence_id":"s"', '"sequence_start":true',
    '"sequence_end":false');

passed('stateful', { infer('/triton/v2/models/echo/infer', inputs => [
    tensor('x', 'INT32', '1,1', '7', '"shared_memory_region":"r"') ]) });

passed('unsupported', map { { %json, body => $_ } }
    '{}', '{"instances":[1]}', '{"inputs":{}}');
passed('unsupported', map { add('triton', 1, 1, id => $_) }
    '"\\u0041"', '"\\/"', '"ä"', 7);
passed('unsupported', { %json, headers => {
    'Inference-Header-Content-Length' => 0 } });

passed('invalid',
    (map { { %json, body => $_ } } '', '[1]', "$json{body}x",
        $json{body} =~ s/\[7\]/[7,8]/r, $json{body} =~ s/"x"/"\xff"/r),
    { %binary, body => "$binary{body}x" },
    { %binary, body => substr($binary{body}, 0, -1) },
    (map { { %binary, headers => { %{$binary{headers}},
        'Inference-Header-Content-Length' => $_ } } }
        length($binary{body}) + 1, length($binary{body}) - 5, 'x', '-1'));

passed('no_rows', { infer('/triton/v2/models/echo/infer', inputs => [
    tensor('x', 'INT32', '0,1', '') ]) });

done_testing;


sub add {
    my ($where, $n, $rows, %o) = @_;

    return { infer("/$where/v2/models/add/infer", id => qq("add-$n"),
        inputs => [
            tensor('a', 'INT32', "$rows,3", join ',', map { $n + $_ }
                0 .. 3 * $rows - 1),
            tensor('b', 'INT32', "$rows,3", join ',', map { $_ * $_ }
                1 .. 3 * $rows),
        ], %o) };
}


sub nested {
    my ($where, $n) = @_;

    return { infer("/$where/v2/models/add/infer", id => qq("nested-$n"),
        inputs => [
            tensor('a', 'INT32', '2,3', "[$n,1,2],[3,$n,4]"),
            tensor('b', 'INT32', '2,3', "[4,5,$n],[$n,6,7]"),
        ]) };
}


sub upper {
    my ($where, $n) = @_;

    my $rows = 1 + $n % 2;

    return { infer("/$where/v2/models/upper/infer", id => qq("upper-$n"),
        inputs => [ tensor('text', 'BYTES', "$rows,1",
            join ',', map { qq("text $_ of $n \\n") } 1 .. $rows) ]) };
}


sub binary_add {
    my ($n, $rows, %o) = @_;

    return { infer('/triton/v2/models/add/infer', id => qq("binary-$n"),
        parameters => $binary_output, inputs => [
            tensor('a', 'INT32', "$rows,3", \pack('l<*', map { $n + $_ }
                0 .. 3 * $rows - 1)),
            tensor('b', 'INT32', "$rows,3", \pack('l<*', 1 .. 3 * $rows)),
        ], %o) };
}


# does the header that a backend got agree with the body?

sub whole {
    my ($req) = @_;

    my $length = $req->{headers}{'inference-header-content-length'};
    my $text = eval { JSON::PP::decode_json(substr $req->{body}, 0, $length) }
        or return 0;
    my $rest = length($req->{body}) - $length;

    $rest -= $_->{parameters}{binary_data_size} for @{$text->{inputs}};
    return $rest == 0;
}


# these requests pass unbatched, and are answered as ever

sub passed {
    my ($reason, @requests) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $before = ($t->location('/triton/')->{passed} || {})->{$reason} || 0;

    alike($t, $reason, \@requests, status => 0);
    is($t->location('/triton/')->{passed}{$reason} - $before,
        scalar @requests, "$reason: counted");
}
