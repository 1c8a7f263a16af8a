#!/usr/bin/perl

# What nginx says of right and wrong pools: mark_balance, mark_server and the
# room that they need in mark_zone.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;

my $t = Test::Mark->new;

my $server = 'server 127.0.0.1:%%PORT_8081%%;';
my $own = '127.0.0.1:%%PORT_8081%%';

my $options = qr/in "mark_balance", there are slots=1\.\.1024, slow_start=/;
my $what = qr/in "mark_server", there are class=TEXT \(up to 31 characters\),/;

# Wrong directives, one at a time, and the message.

for (['mark_balance', qr/invalid number of arguments in "mark_balance"/],
     ['mark_balance fair', qr/invalid value "fair" in "mark_balance", it is/],
     ['mark_balance slo; mark_balance slo', qr/"mark_balance" directive is d/],
     ['mark_balance slo slots', qr/invalid parameter "slots" $options/],
     ['mark_balance slo slots=0', qr/invalid parameter "slots=0" $options/],
     ['mark_balance slo slots=1025', qr/parameter "slots=1025" $options/],
     ['mark_balance slo slots=x', qr/invalid parameter "slots=x" $options/],
     ['mark_balance slo slots=', qr/invalid parameter "slots=" $options/],
     ['mark_balance slo slow_start=x', qr/parameter "slow_start=x" $options/],
     ['mark_balance slo slow_start=', qr/parameter "slow_start=" $options/],
     ['mark_balance slo max_ejected=101%',
         qr/parameter "max_ejected=101%" $options/],
     ['mark_balance slo max_ejected=%', qr/"max_ejected=%" $options/],
     ['mark_balance slo max_ejected=x', qr/"max_ejected=x" $options/],
     ['mark_balance slo retries=101%', qr/"retries=101%" $options/],
     ['mark_balance slo retries=-1', qr/"retries=-1" $options/],
     ['mark_balance slo pressure=x', qr/"pressure=x" $options/],
     ['mark_balance slo pressure=:1:2', qr/"pressure=:1:2" $options/],
     ['mark_balance slo pressure=cpu_utilization:1',
         qr/"pressure=cpu_utilization:1" $options/],
     ['mark_balance slo pressure=no_such_field:1:2',
         qr/"pressure=no_such_field:1:2" $options/],
     ['mark_balance slo pressure=cpu_utilization:2:1',
         qr/"pressure=cpu_utilization:2:1" $options/],
     ['mark_balance slo pressure=cpu_utilization:1:1',
         qr/"pressure=cpu_utilization:1:1" $options/],
     ['mark_balance slo pressure=cpu_utilization:-1:1',
         qr/"pressure=cpu_utilization:-1:1" $options/],
     ['mark_balance slo pressure=cpu_utilization:low:1',
         qr/"pressure=cpu_utilization:low:1" $options/],
     ['mark_balance slo pressure=cpu_utilization::1',
         qr/"pressure=cpu_utilization::1" $options/],
     ['mark_balance slo pressure=cpu_utilization:0.5:1x',
         qr/"pressure=cpu_utilization:0.5:1x" $options/],
     ['mark_balance slo pressure=cpu_utilization:0.5:inf',
         qr/"pressure=cpu_utilization:0.5:inf" $options/],
     ['mark_balance slo pressure=cpu_utilization:0.5:',
         qr/"pressure=cpu_utilization:0.5:" $options/],
     ['mark_balance slo pressure=cpu_utilization:0.5:1:2',
         qr/"pressure=cpu_utilization:0.5:1:2" $options/],
     ['mark_balance slo nonsense=1', qr/parameter "nonsense=1" $options/],
     ['keepalive 4; mark_balance slo',
         qr/"mark_balance" must stand before "keepalive", and without anoth/],
     ['least_conn; mark_balance slo', qr/"mark_balance" must stand before "k/],
     ['mark_balance slo; least_conn',
         qr/"mark_balance" in upstream "u" is of no use with another balanc/],
     ['mark_balance slo; hash $uri; keepalive 4',
         qr/"mark_balance" in upstream "u" is of no use with another balanc/],
     ['mark_server', qr/invalid number of arguments in "mark_server"/],
     ["mark_server $own", qr/"mark_server" in upstream "u" needs "mark_bala/],
     ["mark_balance slo; mark_server $own; mark_server $own",
         qr/"mark_server" directive is duplicate/],
     ['mark_balance slo; mark_server 127.0.0.1:0',
         qr/invalid port in "mark_server 127\.0\.0\.1:0"/],
     ['mark_balance slo; mark_server 127.0.0.1:x',
         qr/invalid port in "mark_server 127\.0\.0\.1:x"/],
     ['mark_balance slo; mark_server unix:',
         qr/no path in the unix domain socket in "mark_server unix:"/],
     map {
         ["mark_balance slo; mark_server $own $_",
             qr/invalid parameter "\Q$_\E" $what/]
     } 'up', 'class=', 'class=' . 'x' x 32, 'price', 'price=', 'price=x',
       'price=-1', 'price=1e3', 'price=1.2.3', 'price=.', 'weight=0',
       'weight=1001', 'weight=x', 'max_batch=0', 'max_batch=-1',
       'max_batch=x', 'concurrency=0', 'concurrency=1025', 'backup=1')
{
    my ($directive, $message) = @$_;
    my ($status, $said) = $t->test_conf(pool($directive));

    is($status, 1, "refused: $directive");
    like($said, $message, "refused: $directive: message");
}

# Right ones.

for ('mark_balance slo',
     'mark_balance slo; keepalive 4',
     'zone z 64k; mark_balance slo',
     'mark_balance slo; zone z 64k; keepalive 4',
     'mark_balance slo slots=1 slow_start=0 max_ejected=0 retries=0%',
     'mark_balance slo slots=1024 slow_start=1m max_ejected=100% retries=100',
     'mark_balance slo pressure=cpu_utilization:0.5:0.9',
     'mark_balance slo pressure=named_metrics.kv:0:1000',
     'mark_balance slo; mark_max_concurrent_batches 3',
     "mark_server $own price=1; mark_balance slo",
     "mark_balance slo; mark_server $own class=" . 'x' x 31
         . ' price=.5 weight=1000 max_batch=1 concurrency=1024 backup down; '
         . 'mark_server 127.0.0.1:%%PORT_8082%%',
     'mark_balance slo; mark_server unix:%%DIR%%/s')
{
    my ($status, $said) = $t->test_conf(pool($_));

    is($status, 0, "accepted: $_") or diag($said);
}

# A server may be named by mark_server alone.

my ($status, $said) = $t->test_conf(block("upstream u { mark_balance slo; "
    . "mark_server $own; }"));
is($status, 0, 'mark_server alone') or diag($said);

($status, $said) = $t->test_conf(block('upstream u { mark_balance slo; }'));
is($status, 1, 'no servers');
like($said, qr/no servers are inside upstream/, 'no servers: message');

# More servers than slots: what to write, and where.

($status, $said) = $t->test_conf(block(
    "upstream u {\nmark_balance slo slots=2;\n"
    . join("\n", map { "server 127.0.0.$_:8080;" } 1 .. 3) . "\n}"));
is($status, 1, 'too few slots');
like($said, qr/upstream "u" has 3 servers, and its "mark_balance" room for 2: /,
    'too few slots: message');
like($said, qr/add slots=6 in \S+test\.conf:\d+/, 'too few slots: the remedy');

# Room in the zone, which is as large as it must be without mark_zone.

($status, $said) = $t->test_conf(block(
    "mark_zone z 256k;\nupstream u { mark_balance slo slots=1024; $server }"));
is($status, 1, 'mark_zone too small');
like($said, qr/"mark_zone z" is too small, this configuration needs (\d+)k/,
    'mark_zone too small: message');

my ($need) = $said =~ /needs (\d+)k/;

($status, $said) = $t->test_conf(block(
    "mark_zone z ${need}k;\n"
    . "upstream u { mark_balance slo slots=1024; $server }"));
is($status, 0, 'mark_zone as large as it was told') or diag($said);

# And that is enough to run in.

$t->conf(block("mark_zone z ${need}k;\n"
    . "upstream u { mark_balance slo slots=1024; $server }"))->run;
is(http_get($t->port(8080), '/')->{status}, 502, 'it runs');

$t->allow(qr/\[error\]/);

done_testing;


# an upstream with this in it, which a location uses

sub pool { block("upstream u {\n$server\n$_[0];\n}") }


sub block {
    my ($text) = @_;

    return <<"EOC";
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    $text
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location / { proxy_pass http://u; }
        location /b { mark_batch v1; proxy_pass http://u; }
        location = /mark_status { mark_status; }
    }
}
EOC
}
