#!/usr/bin/perl

# What V2's "priority" and "timeout" do: the highest priority goes first,
# within it the earliest deadline, and the lowest is not starved.  The backend
# is stopped while requests queue up.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Time::HiRes qw(sleep);

use Test::Mark;

my $t = Test::Mark->new;

plan(skip_all => 'no module') unless $t->has_module;

# each row comes back; -1 takes two seconds

my $b = $t->backend(8081, serial => 1, handler => sub {
    my $in = JSON::PP::decode_json($_[0]{body})->{inputs}[0];
    my $data = join ',', @{$in->{data}};

    return {
        delay => $data eq '-1' ? 2 : 0,
        body => '{"model_name":"m","outputs":[{"name":"y","datatype":"INT32",'
                . '"shape":[' . scalar @{$in->{data}} . ",1],"
                . "\"data\":[$data]}]}",
    };
});

$t->conf(<<'EOC')->run;
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    mark_max_batch_size 4;
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location / {
            mark_batch v2;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /reject {
            mark_batch v2;
            mark_timeout_action reject;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location = /mark_status { mark_status json; }
    }
}
EOC

my $port = $t->port(8080);


sub client {
    my ($uri, $row, %o) = @_;

    my $c = Test::Mark::HTTP->new($port);
    my ($priority, $timeout) = ($o{priority} || 0, $o{timeout} || 0);

    # 0 is none; who says nothing at all has a queue of his own

    $c->send(method => 'POST', uri => $uri,
             body => '{"inputs":[{"name":"x","datatype":"INT32",'
                     . "\"shape\":[1,1],\"data\":[$row]}],\"parameters\":"
                     . "{\"priority\":$priority,\"timeout\":$timeout}}");

    return $c;
}


# the rows as the backend saw them, of requests that came in this order behind
# one that keeps it busy; wait: seconds after the first of them.  One that took
# long before sees to it that nothing is overdue meanwhile.

sub order {
    my ($uri, $wait, @requests) = @_;

    client($uri, -1)->response;
    $b->freeze;

    my @c = client($uri, -2);
    $t->reached('/', in_flight => 1);

    for my $i (0 .. $#requests) {
        push @c, client($uri, @{$requests[$i]});
        $t->reached('/', queued => $i + 1);
        sleep $wait if $i == 0;
    }

    $b->clear;
    $b->resume;

    my $bad = grep { $_->response->{status} != 200 } @c;
    is($bad, 0, 'all are answered');

    return join ' | ', map {
        join ' ', @{JSON::PP::decode_json($_->{body})->{inputs}[0]{data}}
    } grep { $_->{body} !~ /-/ } $b->requests;
}


is(order('/a', 0, [1, priority => 3], [2, priority => 1], [3, priority => 2],
         [4, priority => 1], [5]),
   '2 4 3 5 | 1', 'by priority, of which 2 is the usual');

is(order('/b', 0, [1, timeout => 60000000], [2, timeout => 40000000],
         [3, priority => 1], [4, timeout => 50000000], [5]),
   '3 5 2 4 | 1', 'within one, by deadline; none is ten seconds');

is(order('/c', 1.1, [1, priority => 9], map { [$_, priority => 1] } 2 .. 6),
   '1 2 3 4 | 5 6', 'who has waited for long is not passed over');

# timeout is in microseconds

{
    client('/reject', -1)->response;
    $b->freeze;

    my $first = client('/reject', -2);
    $t->reached('/reject', in_flight => 1);

    my $long = client('/reject', 1, timeout => 60000000);
    my $r = client('/reject', 2, timeout => 20000)->response;

    is($r->{status}, 503, 'timeout: rejected');
    is($r->{headers}{'x-mark-reason'}, 'timeout', 'timeout: and why');
    is($r->{body}, '{"error":"the deadline of this request cannot be met"}',
       'timeout: as V2 has it');

    $b->resume;
    is($long->response->{status}, 200, 'timeout: a longer one is met');
    is($first->response->{status}, 200, 'timeout: none');

    my $l = $t->location('/reject');
    is("$l->{slo}{met} $l->{slo}{missed}", '1 1', 'timeout: as a deadline');
}

done_testing();
