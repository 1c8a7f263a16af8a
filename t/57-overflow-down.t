#!/usr/bin/perl

# mark_overflow with all servers of a pool out of order: none is ejected that
# is the last, but what fails every time is not asked while there is another
# way, but for a look at it once a second.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;

my $t = Test::Mark->new;
my @own = map { $t->backend($_) } 8081, 8083;
my $other = $t->backend(8082);

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    upstream b {
        mark_balance slo;
        mark_server 127.0.0.1:%%PORT_8081%%;
        mark_server 127.0.0.1:%%PORT_8083%%;
    }

    # down by its health checks, which nobody but they can change

    upstream ill {
        mark_balance slo;
        mark_server 127.0.0.1:%%PORT_8084%%;
        mark_health uri=/ interval=100ms fails=1;
    }

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /b {
            mark_batch v1;
            mark_slo 10s;
            mark_overflow @other;
            proxy_pass http://b;
        }

        location /off {
            mark_batch v1;
            mark_slo 10s;
            mark_overflow @other armed=off;
            proxy_pass http://b;
        }

        location /ill {
            mark_batch v1;
            mark_overflow @other;
            proxy_pass http://ill;
        }

        location /full {
            mark_batch v1;
            mark_overflow @other concurrency=0;
            proxy_pass http://ill;
        }

        location @other {
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
        }
    }
}
EOC

my $p = $t->port(8080);

is(join(' ', map { ask('/b')->{status} } 1 .. 20), join(' ', (200) x 20),
    'as long as they are well');
is(scalar $other->requests, 0, 'nothing overflows');

$_->stop for @own;

my @r = map { ask('/b') } 1 .. 40;
my $failed = grep { $_->{status} == 502 } @r;
my $well = grep { $_->{status} == 200 && $_->{body} eq '{"predictions": [1]}' }
    @r;

is($failed + $well, 40, 'down: an answer, or the error of the servers');
cmp_ok($failed, '<=', 12, 'down: errors only until that is known');
is(scalar $other->requests, $well, 'down: the rest overflows');
is(ask('/off')->{status}, 502, 'disarmed: the error of the servers');

$_->start for @own;

# each has to be tried before it is known to be well

my $before;

ok(wait_for(sub {
    $before = $other->requests;
    ask('/b') for 1 .. 5;
    return $other->requests == $before;
}, 30), 'up: nothing overflows any more');

# Down by health checks, and without a deadline: what finds no place elsewhere
# has the servers' error, and does not wait for ever.

ok($t->wait_log(qr/server \S+ of upstream "ill" is down/), 'ill: is down');
is(ask('/ill')->{status}, 200, 'ill: overflows');
is(ask('/full')->{status}, 502, 'ill: no place elsewhere');

$t->finish;
$_->stop for @own, $other;

done_testing();


sub ask {
    my ($uri) = @_;

    return http_post($p, $uri, '{"instances": [1]}');
}
