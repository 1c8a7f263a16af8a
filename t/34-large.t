#!/usr/bin/perl

# Bodies and answers of 50 MB: passed on with little memory where they are over
# the limits, batched where the limits are high, and nothing of them stays.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Time::HiRes qw(sleep);

use constant MB => 1024 * 1024;

my $t = Test::Mark->new(log_level => 'info');
my $p = $t->port(8080);

# sanitizers need memory of their own
my $measured = Test::Mark::version_text() !~ /-fsanitize/;

my $b = Large->new(port => $t->port(8081));

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 4;
    }

    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    mark_max_batch_size 4;
    mark_max_queue_delay 30s;

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /limits {
            mark_batch v1;
            proxy_pass http://b;
        }

        location /stream {
            mark_batch v1;
            proxy_request_buffering off;
            proxy_pass http://b;
        }

        location /batch {
            mark_batch v1;
            mark_max_batch_bytes 256m;
            proxy_pass http://b;
        }

        location /direct {
            mark_batch v1;
            mark_max_batch_bytes 256m;
            proxy_buffering off;
            proxy_pass http://b;
        }

        location = /mark_status {
            mark_status;
        }
    }
}
EOC

my $files = $t->open_files;

# Over the limit: no memory for it, by whatever way it comes.

for (['/limits', 50, 'by its length'],
     ['/limits', 50, 'chunked', chunked => MB],
     ['/stream', 50, 'not buffered'],
     ['/stream', 20, 'not buffered, chunked', chunked => MB],
     ['/limits', 20, 'expected', headers => { Expect => '100-continue' }])
{
    my ($uri, $size, $name, %how) = @$_;
    my $before = $t->location($uri)->{passed}{bytes};

    forget_peak();
    answered($name, $size, { uri => $uri, %how });
    is($t->location($uri)->{passed}{bytes}, $before + 1, "$name: passed on");
    bounded($name, 16);
}

# Four in a batch.  What it takes is known: each body as read from its file,
# all of them joined or the whole reply, and each answer.

for (['/batch', available() > 4000 ? 50 : 10], ['/direct', 10]) {
    my ($uri, $size) = @$_;

    $b->clear;
    forget_peak();
    answered($uri, $size, ({ uri => $uri }) x 4);

    my @seen = $b->requests;
    is(scalar @seen, 1, "$uri: one batch");
    cmp_ok($seen[0]{headers}{'content-length'}, '>', 4 * ($size * MB - 100),
        "$uri: of all bodies");
    is($t->location($uri)->{body_files}, 4, "$uri: from files");
    bounded($uri, 4 * 3 * $size + 64);
    diag(sprintf '%s: %.2f MB for each MB of a body', $uri,
         peak() / 4 / $size) if $measured;
}

# Nothing stays: neither memory, nor files, when clients leave or do not.

round() for 1 .. 3;
my $settled = $t->resident;
round() for 1 .. 5;

cmp_ok($t->resident, '<', $settled + 16 * 1024, 'memory is given back')
    if $measured;

my $head = "POST /batch HTTP/1.1\r\nHost: x\r\nContent-Length: " . 8 * MB
    . "\r\n\r\n";
my @c = map { Test::Mark::HTTP->new($p) } 1 .. 4;

$_->write($head . substr(body('x', 8 * MB), 0, 5 * MB)) for @c;
$_->close for @c;

# and those that do not read their answers

@c = map { Test::Mark::HTTP->new($p) } 1 .. 4;
$b->clear;
$_->send(uri => '/batch', body => body('y', 8 * MB)) for @c;
is(scalar(() = $b->wait_requests(1)), 1, 'unread: a batch');
sleep 0.3;
$_->reset for @c;

round();
ok(wait_for(sub { $t->open_files <= $files + 4 }), 'files are closed');
is(join(' ', grep { -f } glob $t->dir . '/*_temp/*'), '', 'files are gone');
ok($t->reached('/batch', queued => 0, in_flight => 0), 'nothing is left');

$t->finish;
$b->stop;
done_testing;


# of one row and so many bytes

sub body {
    my ($letter, $size) = @_;

    return '{"instances": ["' . $letter x ($size - 19) . '"]}';
}


sub round {
    http_many([map {
        { uri => '/batch', body => body($_, 4 * MB) }
    } 'a' .. 'd'], port => $p, timeout => 60);
}


# sends these at once, each with a letter of its own, so many MB of it

sub answered {
    my ($name, $size, @requests) = @_;

    my @letters = ('a' .. 'z')[0 .. $#requests];

    my @r = http_many([map {
        { %{$requests[$_]}, body => body($letters[$_], $size * MB) }
    } 0 .. $#requests], port => $p, timeout => 60);

    for (@letters) {
        my $r = shift @r;
        my $want = body($_, $size * MB) =~ s/instances/predictions/r;

        ok($r->{status} == 200 && $r->{body} eq $want, "$name: answer $_")
            or diag("$r->{status} " . substr($r->{body}, 0, 100));
    }
}


# MB of memory that the machine can spare: nginx, client and backend take 2.5 GB

sub available {
    open my $f, '<', '/proc/meminfo' or return 0;
    return ((map { /^MemAvailable:\s+(\d+)/ } <$f>)[0] || 0) / 1024;
}


# the peak of the worker's memory starts anew, if it can

sub forget_peak {
    my ($pid) = $t->workers;

    open(my $f, '>', "/proc/$pid/clear_refs")
        or return $measured = 0;
    print $f 5;
    close $f or $measured = 0;
}


# in MB

sub peak {
    my ($pid) = $t->workers;

    open my $f, '<', "/proc/$pid/status" or return 0;
    return ((map { /^VmHWM:\s+(\d+)/ } <$f>)[0] || 0) / 1024;
}


sub bounded {
    my ($name, $most) = @_;

    SKIP: {
        skip 'memory is not measured', 1 unless $measured;
        cmp_ok(peak(), '<', $most, "$name: memory");
    }
}


# A backend that keeps no bodies, and looks at none.

package Large;

use warnings;
use strict;

use parent -norequire, 'Test::Mark::Backend';

my $body;


sub parse {
    my ($b, $c) = @_;

    my $req = $b->SUPER::parse($c) or return;

    $body = delete $req->{body};
    return $req;
}


sub new {
    my ($class, %o) = @_;

    return Test::Mark::Backend::new($class, %o, handler => sub {
        $body =~ s/^\{"instances"/{"predictions"/;
        return { body => $body };
    });
}
