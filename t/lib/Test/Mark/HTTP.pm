package Test::Mark::HTTP;

# A client for HTTP/1.1: one connection, kept alive, with as much or as little
# politeness as a test wants; and a parser of responses that is fed bytes.

use warnings;
use strict;

use IO::Socket::INET;
use IO::Select;
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);
use Scalar::Util qw(weaken);
use Time::HiRes qw(time);

use constant TIMEOUT => 20;


# sockets of all clients that live, for processes that must not keep them open

my @sockets;

sub register {
    @sockets = grep { defined } @sockets, $_[0];
    weaken($_) for @sockets;
}

sub sockets { return grep { defined && defined fileno $_ } @sockets }


# $c = Test::Mark::HTTP->new($port, timeout => SECONDS, rcvbuf => BYTES)

sub new {
    my ($class, $port, %o) = @_;

    my $s = IO::Socket::INET->new(
        Proto => 'tcp', PeerAddr => '127.0.0.1', PeerPort => $port,
        Timeout => 5,
        $o{rcvbuf} ? (Sockopts => [[Socket::SO_RCVBUF(), $o{rcvbuf}]]) : ())
        or return;

    binmode $s;
    setsockopt($s, IPPROTO_TCP, TCP_NODELAY, 1);
    register($s);

    return bless {
        socket => $s, port => $port, in => '', pending => [],
        timeout => $o{timeout} || TIMEOUT,
    }, $class;
}


sub socket { $_[0]{socket} }


# The bytes of a request.  Host, Content-Length and, unless the test gives
# them, a JSON content type are added.

sub format_request {
    my (%r) = @_;

    my @h = ref $r{headers} eq 'HASH'
        ? map { [$_, $r{headers}{$_}] } sort keys %{$r{headers}}
        : pairs(@{$r{headers} || []});

    my %have = map { lc $_->[0] => 1 } @h;
    my $body = $r{body};

    unshift @h, ['Host', 'localhost'] unless $have{host};

    if (defined $body) {
        push @h, ['Content-Type', 'application/json']
            unless $have{'content-type'};

        if ($r{chunked}) {
            push @h, ['Transfer-Encoding', 'chunked'];
            my $size = $r{chunked} > 1 ? $r{chunked} : 16384;
            my $chunks = '';

            for (my $i = 0; $i < length $body; $i += $size) {
                my $piece = substr($body, $i, $size);
                $chunks .= sprintf("%x\r\n", length $piece) . "$piece\r\n";
            }

            $body = "${chunks}0\r\n\r\n";

        } elsif (!$have{'content-length'} && !$have{'transfer-encoding'}) {
            push @h, ['Content-Length', length $body];
        }
    }

    return join('', ($r{method} || (defined $body ? 'POST' : 'GET')),
        ' ', $r{uri} || '/', ' HTTP/', $r{version} || '1.1', "\r\n",
        (map { "$_->[0]: $_->[1]\r\n" } grep { defined $_->[1] } @h),
        "\r\n", defined $body ? $body : '');
}


# (name, value, name, value) or ([name, value], ...)

sub pairs {
    my @pairs;

    while (@_) {
        my $n = shift;
        push @pairs, ref $n ? $n : [$n, shift];
    }

    return @pairs;
}


sub post {
    my ($c, $uri, $body, %headers) = @_;

    $c->send(uri => $uri, body => $body, headers => \%headers);
    return $c->response;
}


sub get {
    my ($c, $uri, %headers) = @_;

    $c->send(uri => $uri, headers => \%headers);
    return $c->response;
}


# sends a request and does not wait for anything

sub send {
    my ($c, %r) = @_;

    my $bytes = format_request(%r);

    push @{$c->{pending}}, ($bytes =~ /^(\S+)/)[0];
    $c->{start} = time;

    return $c->write($bytes);
}


# bytes as they are; returns whether all of them went out

sub write {
    my ($c, $bytes) = @_;

    local $SIG{PIPE} = 'IGNORE';

    my $done = 0;
    my $end = time + $c->{timeout};
    my $select = IO::Select->new($c->{socket});

    $c->{start} ||= time;
    $c->{socket}->blocking(0);

    while ($done < length $bytes) {
        my $n = syswrite($c->{socket}, $bytes, length($bytes) - $done, $done);

        if (defined $n) {
            $done += $n;
            next;
        }

        last unless $!{EAGAIN} || $!{EINTR};
        last if time > $end;
        $select->can_write(0.1);
    }

    $c->{socket}->blocking(1);

    return $done == length $bytes;
}


# The next response, see Test::Mark::HTTP::Parser.  An incomplete one has
# complete => 0 and says in error why.

sub response {
    my ($c, %o) = @_;

    my $method = shift @{$c->{pending}} || $o{method} || 'GET';
    my $parser = Test::Mark::HTTP::Parser->new($method);
    my $select = IO::Select->new($c->{socket});
    my $end = time + ($o{timeout} || $c->{timeout});

    $c->{in} = $parser->feed($c->{in});

    until ($parser->done) {
        my $left = $end - time;

        if ($left <= 0 || !$select->can_read($left)) {
            $parser->fail('timeout') if time >= $end;
            next;
        }

        my $n = sysread($c->{socket}, my $bytes, 65536);

        if ($n) {
            $c->{in} = $parser->feed($bytes);

        } elsif (defined $n) {
            $parser->eof;

        } elsif (!$!{EINTR} && !$!{EAGAIN}) {
            $parser->fail($!{ECONNRESET} ? 'reset' : "$!");
        }
    }

    my $r = $parser->result;
    $r->{time} = time - $c->{start} if $c->{start};

    return $r;
}


# everything until the peer closes, or the timeout

sub read_all {
    my ($c, $timeout) = @_;

    my $end = time + ($timeout || $c->{timeout});
    my $select = IO::Select->new($c->{socket});
    my $bytes = $c->{in};

    $c->{in} = '';

    while ((my $left = $end - time) > 0) {
        next unless $select->can_read($left);
        last unless sysread($c->{socket}, $bytes, 65536, length $bytes);
    }

    return $bytes;
}


# has the peer closed the connection (waiting so long for it)?

sub closed {
    my ($c, $timeout) = @_;

    return 0 unless IO::Select->new($c->{socket})->can_read($timeout || 0);

    my $n = sysread($c->{socket}, $c->{in}, 65536, length $c->{in});
    return !$n;
}


sub shutdown_write { shutdown($_[0]{socket}, 1) }

sub close { CORE::close($_[0]{socket}) }


# goes away with a TCP reset

sub reset {
    my ($c) = @_;

    setsockopt($c->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    CORE::close($c->{socket});
}


package Test::Mark::HTTP::Parser;

# Parses one response.  feed() returns the bytes that follow it.  The result:
# { status, version, reason, headers => { lowercased => value }, header_list
# => [[name, value]], body, raw, chunked, interim => [statuses], complete,
# error }

use warnings;
use strict;


sub new {
    my ($class, $method) = @_;

    return bless {
        method => $method, state => 'head', in => '',
        r => { status => 0, headers => {}, header_list => [], body => '',
               raw => '', interim => [], complete => 0 },
    }, $class;
}


sub done { $_[0]{state} eq 'done' }

sub result { $_[0]{r} }


sub fail {
    my ($p, $error) = @_;

    $p->{r}{raw} .= $p->{in};
    $p->{r}{error} = $error;
    $p->{in} = '';
    $p->{state} = 'done';
}


sub finish {
    my ($p) = @_;

    $p->{r}{complete} = 1;
    $p->{state} = 'done';
}


sub eof {
    my ($p) = @_;

    return if $p->done;
    return $p->finish if $p->{state} eq 'close';

    $p->fail($p->{state} eq 'head' && $p->{in} eq '' && $p->{r}{raw} eq ''
             ? 'closed' : 'truncated');
}


sub take {
    my ($p, $n) = @_;

    my $bytes = substr($p->{in}, 0, $n, '');
    $p->{r}{raw} .= $bytes;

    return $bytes;
}


sub feed {
    my ($p, $bytes) = @_;

    return $bytes if $p->done;

    $p->{in} .= $bytes;

    until ($p->done) {
        my $step = "in_$p->{state}";
        last unless $p->$step;
    }

    my $rest = $p->{in};
    $p->{in} = '' if $p->done;

    return $p->done ? $rest : '';
}


# each returns whether it could do anything

sub in_head {
    my ($p) = @_;

    my $end = index($p->{in}, "\r\n\r\n");
    return 0 if $end < 0;

    my ($line, @lines) = split /\r\n/, $p->take($end + 4);
    my $r = $p->{r};

    if ($line !~ m!^HTTP/(\d\.\d) (\d{3}) ?(.*)$!) {
        $p->fail('malformed');
        return 1;
    }

    @$r{qw(version status reason)} = ($1, $2 + 0, $3);

    if ($r->{status} < 200) {
        push @{$r->{interim}}, $r->{status};
        return 1;
    }

    for (@lines) {
        my ($name, $value) = /^([^:\s]+):[ \t]*(.*?)[ \t]*$/ or next;
        push @{$r->{header_list}}, [$name, $value];
        my $known = \$r->{headers}{lc $name};
        $$known = defined $$known ? "$$known, $value" : $value;
    }

    my $h = $r->{headers};

    if ($p->{method} eq 'HEAD' || $r->{status} == 204 || $r->{status} == 304) {
        $p->finish;

    } elsif (lc($h->{'transfer-encoding'} || '') eq 'chunked') {
        $r->{chunked} = 1;
        $p->{state} = 'size';

    } elsif (defined $h->{'content-length'}) {
        $p->{left} = $h->{'content-length'};
        $p->{state} = 'length';
        $p->finish unless $p->{left};

    } else {
        $p->{state} = 'close';
    }

    return 1;
}


sub in_length {
    my ($p) = @_;

    return 0 if $p->{in} eq '';

    my $piece = $p->take($p->{left});

    $p->{r}{body} .= $piece;
    $p->{left} -= length $piece;
    $p->finish unless $p->{left};

    return 1;
}


sub in_close {
    my ($p) = @_;

    return 0 if $p->{in} eq '';

    $p->{r}{body} .= $p->take(length $p->{in});
    return 1;
}


sub in_size {
    my ($p) = @_;

    my $end = index($p->{in}, "\r\n");
    return 0 if $end < 0;

    my $line = $p->take($end + 2);

    if ($line !~ /^([0-9a-f]+)/i) {
        $p->fail('malformed chunk');
        return 1;
    }

    $p->{left} = hex $1;
    $p->{state} = $p->{left} ? 'chunk' : 'trailer';

    return 1;
}


sub in_chunk {
    my ($p) = @_;

    return 0 if length $p->{in} < $p->{left} + 2;

    $p->{r}{body} .= $p->take($p->{left});
    $p->take(2);
    $p->{state} = 'size';

    return 1;
}


sub in_trailer {
    my ($p) = @_;

    my $end = index($p->{in}, "\r\n");
    return 0 if $end < 0;

    $p->finish if $p->take($end + 2) eq "\r\n";
    return 1;
}


1;
