#!/usr/bin/perl

# Triton's client library for Python, many threads, before Triton and before
# MLServer.

use warnings;
use strict;

use Test::Mark;
use Test::Mark::Peer qw(triton mlserver);

my $t = Test::Mark->new;
my %peers = map {
    $_ => Test::Mark::Peer->new($t, $_, ready => '/v2/models/echo/ready')
} qw(triton mlserver);

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

        location /triton/v2/ {
            mark_batch v2;
            mark_max_queue_delay 20ms;
            proxy_pass http://127.0.0.1:%%PORT_triton%%/v2/;
        }

        location /mlserver/v2/ {
            mark_batch v2;
            mark_max_queue_delay 20ms;
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

my $here = '127.0.0.1:' . $t->port(8080);

for (['triton', 'binary'], ['triton', 'json'], ['mlserver', 'json']) {
    my ($name, $form) = @$_;

    Test::Mark::Peer::client('triton', 'triton_client', "$here/plain/$name",
                             "$here/$name", $form);
}

for (qw(triton mlserver)) {
    my $l = $t->location("/$_/v2/");

    cmp_ok($l->{batches}, '<', $l->{requests} / 2, "$_: batches");
    cmp_ok($l->{passed}{stateful}, '>', 0, "$_: sequences pass");
    cmp_ok($l->{passed}{encoded}, '>', 0, "$_: compressed ones pass");
}

done_testing;
