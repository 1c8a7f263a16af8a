#!/usr/bin/perl

# $mark_batch_time ends with the backend's answer, not with a client that is
# slow to read it; and such a client keeps no place in the queue, as long as
# nginx has the answer in memory.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Time::HiRes qw(sleep);

use Test::Mark;

my $t = Test::Mark->new(log_level => 'info');

plan(skip_all => 'no module') unless $t->has_module;

my $row = '"' . 'x' x 600_000 . '"';

$t->backend(8081, handler => sub { return { rows => [$row] } });

$t->conf(<<'EOC')->run;
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    log_format slow '$request_uri <$request_time> <$mark_batch_time>';
    access_log %%DIR%%/access.log slow;
    server {
        listen 127.0.0.1:%%PORT_8080%% sndbuf=32k;
        location /slow {
            mark_batch v1;
            proxy_buffer_size 128k;
            proxy_buffers 8 128k;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location = /mark_status { mark_status json; }
    }
}
EOC

my $c = Test::Mark::HTTP->new($t->port(8080), rcvbuf => 16384);

$c->send(method => 'POST', uri => '/slow', body => '{"instances": [1]}');

ok(wait_for(sub {
    my $l = $t->location('/slow');
    return $l->{batches} == 1 && $l->{in_flight} == 0;
}), 'the backend is free, and the answer not yet read');

sleep 2;

is(length($c->response->{body}), length($row) + 19, 'the whole answer');
ok($t->wait_access_log(qr!^/slow !m), 'logged');

my ($request, $batch) = $t->access_log =~ m!^/slow <([\d.]+)> <([\d.]+)>$!m;

cmp_ok($batch, '<', $request - 1.5, "$batch of $request s");

done_testing();
