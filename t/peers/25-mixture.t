#!/usr/bin/perl

# A mixture of requests, right and wrong ones, as many clients would send them
# at once, to Triton and MLServer: each is answered as if it were alone.
# TEST_MARK_SEED repeats a mixture.

use warnings;
use strict;

use Test::Mark;
use Test::Mark::Peer qw(triton mlserver);
use Test::Mark::Alike;
use Test::Mark::V2 qw(infer tensor bytes_tensor);

use constant REQUESTS => 300;

my $t = Test::Mark->new;
my %peers = map {
    $_ => Test::Mark::Peer->new($t, $_, ready => '/v2/models/echo/ready')
} qw(triton mlserver);

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
    worker_connections 2048;
}

http {
    %%HTTP%%

    mark_max_batch_size 16;
    mark_max_queue_delay 50ms;

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /triton/v2/ {
            mark_batch v2;
            proxy_pass http://127.0.0.1:%%PORT_triton%%/v2/;
        }

        location /mlserver/v2/ {
            mark_batch v2;
            proxy_pass http://127.0.0.1:%%PORT_mlserver%%/v2/;
        }

        location /plain/triton/ {
            proxy_pass http://127.0.0.1:%%PORT_triton%%/;
        }

        location /plain/mlserver/ {
            proxy_pass http://127.0.0.1:%%PORT_mlserver%%/;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

my $seed = $ENV{TEST_MARK_SEED} || int rand 1e6;

srand $seed;

for my $name (qw(triton mlserver)) {
    alike($t, "$name, seed $seed", [ map { mixed($name) } 1 .. REQUESTS ],
        location => "/$name/v2/", status => 0,
        without => [qw(ce-id ce-requestid vary)], body => \&without_uuid);

    cmp_ok($t->location("/$name/v2/")->{requests}, '>', REQUESTS / 2,
        "$name: most can be batched");
}

done_testing;


# MLServer makes up ids

sub without_uuid {
    $_[0] =~ s/"id":"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"/"id":""/r;
}


sub one_of { $_[rand @_] }

# seldom, the other one

sub mostly { rand() < 0.95 ? $_[0] : $_[1] }


sub mixed {
    my ($name) = @_;

    my $binary = $name eq 'triton' && rand() < 0.5;
    my $rows = one_of(1, 1, 1, 2, 3);
    my $model = one_of(qw(add_sub add_sub upper echo));
    my $id = one_of(undef, '"' . int(rand 1e9) . '"');
    my %o = (id => mostly($id, one_of('""', '"a\\/\\u00e4"', '"ß"', '7')));
    my @inputs;

    if ($model eq 'add_sub') {
        @inputs = map { numbers($_, 'FP32', $rows, mostly(3, 2), $binary) }
            'a', mostly('b', one_of('a', 'c'));

    } elsif ($model eq 'echo') {
        @inputs = numbers('i32', 'INT32', $rows, one_of(1, 2), $binary);

        $o{outputs} = '[{"name":"i32_out","parameters":{"binary_data":'
            . one_of('true', 'false') . '}}]' if $name eq 'triton';

    } else {
        my @texts = map { mostly('text ' . int rand 100, '') } 1 .. $rows;

        @inputs = $binary ? bytes_tensor('text', "$rows,1", @texts)
            : tensor('text', 'BYTES', "$rows,1",
                     join ',', map { qq("$_") } @texts);
    }

    $o{parameters} = one_of(undef, undef, '{"priority":1}',
        '{"priority":2,"timeout":60000000}', '{"binary_data_output":true}',
        '{"binary_data_output":false}', '{"mine":"x"}') unless $o{outputs};

    my %request = infer("/$name/v2/models/" . mostly($model, 'none')
                        . '/infer',
                        inputs => \@inputs, %o);

    $request{body} = mostly($request{body}, substr $request{body}, 0, -3);
    $request{chunked} = mostly(0, 100);

    return \%request;
}


sub numbers {
    my ($name, $type, $rows, $width, $binary) = @_;

    my @values = map { int rand 1000 } 1 .. $rows * $width;

    return tensor($name, $type, "$rows,$width",
        $binary ? \pack($type eq 'FP32' ? 'f<*' : 'l<*', @values)
                : join ',', @values);
}
