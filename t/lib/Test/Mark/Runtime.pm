package Test::Mark::Runtime;

# The Runtime API of AWS Lambda for one mark-lambda, which it starts.
#
#   my $r = Test::Mark::Runtime->new(MARK_MODEL => 'echo');
#
#   my $answer = $r->invoke('{"instances": [1]}');   # kind, body, headers
#   is($answer->{kind}, 'response');
#
#   is($r->stop, 0, 'exit status');
#
# What invoke() does can be done by hand: request() is what mark-lambda asks,
# reply() answers it.  Arguments of new() are its environment.

use warnings;
use strict;

use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(time sleep);

use Test::Mark ();

our @command = $ENV{TEST_MARK_LAMBDA} || "$Test::Mark::top/build/mark-lambda";

use constant PREFIX => '/2018-06-01/runtime';

my %living;


sub new {
    my ($class, %env) = @_;

    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                         Listen => 8)
        or die "cannot listen: $@\n";
    my $r = bless {
        listener => $listener, owner => $$, in => '', ids => 0,
        log => File::Temp->new,
    }, $class;

    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $r->{log};
        open STDERR, '>&', $r->{log};

        delete @ENV{qw(_HANDLER LAMBDA_TASK_ROOT)};
        delete @ENV{grep { /^MARK_/ } keys %ENV};
        %ENV = (%ENV, AWS_LAMBDA_RUNTIME_API => '127.0.0.1:'
                . $listener->sockport, %env);
        exec @command or POSIX::_exit(127);
    }

    $r->{pid} = $pid;
    $living{$pid} = $r;

    return $r;
}


# The next request, or undef if mark-lambda is gone or asks for nothing.

sub request {
    my ($r, $patience) = @_;

    my $end = time + ($patience || $Test::Mark::patience);

    while (time < $end) {
        if ($r->{in} =~ /\A(\S+) (\S+) HTTP\/1\.1\r\n(.*?)\r\n\r\n/s) {
            my ($method, $uri, $head, $size) = ($1, $2, "$3\r\n", $+[0]);
            my %headers = map { /^(\S+?):\s*(.*)/ ? (lc $1, $2) : () }
                split /\r\n/, $head;
            my $len = $headers{'content-length'} || 0;

            if (length $r->{in} >= $size + $len) {
                my $body = substr $r->{in}, $size, $len;
                substr $r->{in}, 0, $size + $len, '';
                return { method => $method, uri => $uri, body => $body,
                         headers => \%headers };
            }
        }

        my @sockets = grep { $_ } @$r{qw(listener connection)};

        for my $s (IO::Select->new(@sockets)->can_read(0.1)) {
            if ($s == $r->{listener}) {
                $r->{connection} = $s->accept;
                $r->{connections}++;
                $r->{in} = '';

            } elsif (!sysread $s, $r->{in}, 65536, length $r->{in}) {
                delete $r->{connection};
            }
        }

        return undef if !$r->{connection} && $r->gone;
    }

    return undef;
}


sub reply {
    my ($r, $status, $body, %headers) = @_;

    $headers{'Content-Length'} = length $body
        unless exists $headers{'Content-Length'};

    my $text = join '', "HTTP/1.1 $status Status\r\n",
        map({ "$_: $headers{$_}\r\n" } sort keys %headers), "\r\n", $body;

    while (length $text) {
        my $n = syswrite $r->{connection}, $text;
        die "cannot reply: $!\n" unless $n;
        substr $text, 0, $n, '';
    }
}


# Waits for GET next, gives it the payload, and takes what comes back.

sub invoke {
    my ($r, $payload, %o) = @_;

    my $id = sprintf '8476a536-e9f4-11e8-9739-%012d', ++$r->{ids};
    my $next = $r->request;

    die "no request for an invocation: ", $r->log unless $next
        && "$next->{method} $next->{uri}" eq 'GET ' . PREFIX
            . '/invocation/next';

    $r->reply(200, $payload, 'Lambda-Runtime-Aws-Request-Id' => $id,
        'Lambda-Runtime-Deadline-Ms' =>
            $o{deadline} || int((time + 60) * 1000),
        'Content-Type' => 'application/json');

    my $answer = $r->request;

    die "no answer to an invocation: ", $r->log unless $answer
        && $answer->{method} eq 'POST'
        && $answer->{uri} =~ m!\A@{[PREFIX]}/invocation/\Q$id\E/(\w+)\z!;

    $answer->{kind} = $1;
    $r->reply($o{status} || 202, '{"status":"OK"}');

    return $answer;
}


sub log {
    my ($r) = @_;

    open my $f, '<', $r->{log}->filename or return '';
    local $/;

    return scalar <$f>;
}


sub gone {
    my ($r) = @_;

    return 1 unless $living{$r->{pid}};
    return 0 unless waitpid($r->{pid}, WNOHANG) == $r->{pid};

    $r->{status} = $? >> 8 | ($? & 127 ? 128 + ($? & 127) : 0);
    delete $living{$r->{pid}};

    return 1;
}


# The exit status, once it has ended; undef if it does not.

sub status {
    my ($r) = @_;

    Test::Mark::wait_for(sub { $r->gone });

    return $r->{status};
}


sub stop {
    my ($r, $signal) = @_;

    kill $signal || 'TERM', $r->{pid} unless $r->gone;

    return $r->status;
}


END {
    my $status = $?;

    for (values %living) {
        kill 'KILL', $_->{pid} if $_->{owner} == $$;
    }

    $? = $status;
}


1;
