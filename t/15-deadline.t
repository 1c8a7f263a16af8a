#!/usr/bin/perl

# mark_slo with a variable: each client's own deadline, and the most urgent
# first; requests of different deadlines share batches all the same.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;

my $t = Test::Mark->new(log_level => 'info');

plan(skip_all => 'no module') unless $t->has_module;

# the first request of each round keeps the backend busy

my $b = $t->backend(8081, serial => 1, handler => sub {
    return { delay => $_[0]{body} =~ /first/ ? 0.4 : 0.01 };
});

$t->conf(<<'EOC')->run;
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    log_format slo '$request_uri $http_x_slo_ms <$mark_slo_met>';
    access_log %%DIR%%/access.log slo;
    mark_batch_ignore_header X-Some;
    mark_max_batch_size 3;
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        mark_slo $http_x_slo_ms 5s;
        location /own {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /ignore {
            mark_batch v1;
            mark_batch_ignore_header X-Other;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /none {
            mark_batch v1;
            mark_slo $http_x_slo_ms;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /full {
            mark_batch v1;
            mark_max_queue_size 2;
            mark_max_batch_size 8;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location = /mark_status { mark_status json; }
    }
}
EOC

my $port = $t->port(8080);

# what the backend saw after the first, of requests [row, deadline] that came
# in this order, one by one

sub order {
    my ($uri, @requests) = @_;

    $b->clear;

    my @c = (client($uri, '"first"'));
    $b->wait_requests(1);

    for my $i (0 .. $#requests) {
        push @c, client($uri, @{$requests[$i]});
        $t->reached($uri, queued => $i + 1);
    }

    my $bad = grep { $_->response->{status} != 200 } @c;
    is($bad, 0, "$uri: answers");

    my @batches = $b->requests;
    return join ' | ', map { join ' ', @{$_->{rows}} } @batches[1 .. $#batches];
}


sub client {
    my ($uri, $row, $slo, @more) = @_;

    my $c = Test::Mark::HTTP->new($port);

    $c->send(method => 'POST', uri => $uri,
             body => "{\"instances\": [$row]}",
             headers => [ defined $slo ? ('X-Slo-Ms' => $slo) : (), @more ]);

    return $c;
}


is(order('/own', [1, 4000], [2, 1500]), '2 1', 'the most urgent first');
is(order('/own', [1], [2, 4000]), '2 1', 'before the default of 5 s');
is(order('/own', [1, '3s'], [2, '2000ms']), '2 1', "nginx's times");
is(order('/own', [1, 'soon'], [2, 4000]), '2 1', 'no time: the default');
like($t->log, qr/mark: "soon" is no deadline/, 'which is said');
is(order('/own', [1, 3000], [2, 3000]), '1 2', 'equals as they came');
is(order('/none', [1], [2, 9000]), '2 1', 'none: last, but not for ever');
is(order('/none', [1], [2, 20000]), '1 2', 'before those of 20 s');
is(order('/ignore', [1, 4000, 'X-Other' => 1], [2, 3000, 'X-Other' => 2]),
   '2 1', 'with headers of its own to ignore');

ok(client('/own', 7, 1)->response->{status} == 200, 'too late is late');
ok($t->wait_access_log(qr!^/own 1 <0>$!m), 'and counted so');
ok($t->wait_access_log(qr!^/own 4000 <1>$!m), 'others are met');
ok($t->wait_access_log(qr!^/none - <->$!m), 'without a deadline: neither');

# a full queue sheds the least urgent, whoever it is

{
    $b->clear;

    my @c = (client('/full', '"first"'));
    $b->wait_requests(1);

    my %c;

    for ([a => 4000], [b => 3000]) {
        $c{$_->[0]} = client('/full', "\"$_->[0]\"", $_->[1]);
        $t->reached('/full', queued => scalar keys %c);
    }

    $c{c} = client('/full', '"c"', 2000);

    is($c{a}->response->{status}, 503, 'full: the least urgent is shed');

    $c{d} = client('/full', '"d"');

    my $r = $c{d}->response;
    is($r->{status}, 503, 'full: the new one, if it is that');
    is($r->{headers}{'x-mark-reason'}, 'rejected', 'full: and why');

    is($c{$_}->response->{body}, "{\"predictions\": [\"$_\"]}",
       "full: $_ is served") for qw(b c);

    is($c[0]->response->{status}, 200, 'full: and the first');
    is($t->location('/full')->{rejected}, 2, 'full: two were rejected');
}

for (['mark_slo 200ms 100ms;', 'has a default, but no variable'],
     ['mark_slo soon;', 'invalid time'],
     ['mark_slo $arg_slo soon;', 'invalid time'],
     ['mark_slo 1s; mark_slo 2s;', 'is duplicate'])
{
    my ($line, $want) = @$_;
    my ($status, $said) = $t->test_conf("%%GLOBALS%%\nevents { }\n"
        . "http { server { location / { $line } } }\n");

    ok($status == 1 && $said =~ /$want/, "nginx -t: $line") or diag($said);
}

done_testing();
