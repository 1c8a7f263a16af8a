#!/usr/bin/perl

# When the last member of a batch leaves, its request to the backend ends as a
# client's own does; proxy_ignore_client_abort keeps it.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Time::HiRes qw(sleep time);

use Test::Mark;

my $t = Test::Mark->new;

plan(skip_all => 'no module') unless $t->has_module;

my $b = $t->backend(8081, delay => 3);

$t->conf(<<'EOC')->run;
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    mark_max_batch_size 3;
    mark_max_queue_delay 10s;
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location /stops {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /goes-on {
            mark_batch v1;
            proxy_ignore_client_abort on;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location = /mark_status { mark_status json; }
    }
}
EOC

my $port = $t->port(8080);

for my $uri ('/stops', '/goes-on') {
    my @c = map { Test::Mark::HTTP->new($port) } 1 .. 3;

    $_->send(method => 'POST', uri => $uri, body => '{"instances": [1]}')
        for @c;

    ok(wait_for(sub { in_flight($uri) == 1 }), "$uri: in flight");

    my $start = time;

    $c[0]->close;
    $c[1]->close;

    ok(wait_for(sub { $t->location($uri)->{aborted} == 2 }), "$uri: two left");
    is(in_flight($uri), 1, "$uri: one stays, and so does the batch");

    $c[2]->close;

    ok(wait_for(sub { $t->location($uri)->{aborted} == 3 }), "$uri: all left");

    if ($uri eq '/stops') {
        ok(wait_for(sub { in_flight($uri) == 0 }, 2), "$uri: ended");

    } else {
        is(in_flight($uri), 1, "$uri: in flight still");
        ok(wait_for(sub { in_flight($uri) == 0 }), "$uri: until its answer");
        cmp_ok(time - $start, '>', 2, "$uri: which took its time");
    }

    is($t->location($uri)->{failed_batches}, 0, "$uri: no batch failed");
}

done_testing();


sub in_flight { $t->location($_[0])->{in_flight} }
