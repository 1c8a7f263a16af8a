package Test::Mark::Backend;

# A model server that does what a test tells it to.  It runs in a process of
# its own, serves many connections at once, remembers every request and, left
# alone, echoes: each row of {"instances": [...]} comes back, byte for byte, as
# a row of {"predictions": [...]}.
#
#   my $b = Test::Mark::Backend->new(port => $t->port(8081), delay => 0.05);
#   my $b = Test::Mark::Backend->new(handler => sub { my ($req) = @_; ... });
#   ...
#   is(scalar $b->requests, 3, 'three batches');
#   is(($b->requests)[0]{rows}[0], '[1.0]', 'first row of the first');
#
# What the constructor (for every request) or the handler (for this one;
# nothing returned means an ordinary answer) can say:
#
#   status, reason    200
#   headers           { name => value } or [ name => value, ... ]
#   body              the bytes; otherwise the echo
#   rows              the predictions, instead of an echo of the rows
#   delay             seconds before the answer; may be sub { my ($req) ... }
#   chunked           1, or the size of the chunks
#   close             no length: the end of the connection ends the body
#   length            a Content-Length that may be a lie
#   gzip              compresses the body and says so
#   dribble           1: byte after byte; N: N bytes at a time
#   pause             seconds between the pieces of dribble (0.001)
#   cut               closes after so many bytes of the response
#   reset             resets the connection: at once, or after cut bytes
#   close_before      closes without a word
#   hang              never answers
#   raw               these bytes instead of a response
#   then_close        closes when the response is out
#
# Only for the constructor:
#
#   address           '127.0.0.1', where it listens
#   serial            one request at a time, the others wait their turn
#   keepalive         requests a connection (no limit)
#   list              'instances', the name of the list that holds the rows
#   answer            'predictions', its name in the answer

use warnings;
use strict;

use Fcntl qw(F_SETFL O_NONBLOCK);
use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);
use Storable ();
use Time::HiRes qw(time sleep);

use Test::Mark::HTTP ();

use Exporter 'import';

our @EXPORT_OK = qw(json_members json_elements rows_of);

my %faults = map { $_ => 1 } qw(status reason headers body rows delay chunked
    close length gzip dribble pause cut reset close_before hang raw
    then_close);
my %own = map { $_ => 1 } qw(port address handler serial keepalive list
    answer);


sub new {
    my ($class, %o) = @_;

    my @unknown = grep { !$faults{$_} && !$own{$_} } keys %o;
    die "Test::Mark::Backend: unknown option: @unknown\n" if @unknown;

    my $b = bless {
        address => '127.0.0.1', list => 'instances', answer => 'predictions',
        %o, owner => $$,
    }, $class;

    (my $f, $b->{record}) = File::Temp::tempfile('mark-backend-XXXXXX',
                                                 TMPDIR => 1, UNLINK => 0);
    close $f;

    $b->{defaults} = { map { $_ => $o{$_} } grep { $faults{$_} } keys %o };
    $b->start;

    return $b;
}


sub port { $_[0]{port} }

sub pid { $_[0]{pid} }


# listens, on the port it had if it ran before

sub start {
    my ($b) = @_;

    return if $b->{pid};

    my $listen;
    my $end = time + 5;

    until ($listen = IO::Socket::INET->new(
        Proto => 'tcp', LocalAddr => $b->{address},
        LocalPort => $b->{port} || 0, Listen => 1024, ReuseAddr => 1))
    {
        die "cannot listen on port $b->{port}: $!\n" if time > $end;
        sleep 0.05;
    }

    $b->{port} = $listen->sockport;

    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP CHLD);
        $SIG{PIPE} = 'IGNORE';

        # the test's connections must end when the test closes them
        close $_ for Test::Mark::HTTP::sockets();

        eval { $b->serve($listen); 1 } or warn "backend: $@";
        POSIX::_exit(1);
    }

    close $listen;
    $b->{pid} = $pid;
}


# goes away: every connection is closed, further ones are refused

sub stop {
    my ($b) = @_;

    my $pid = delete $b->{pid} or return;

    kill 'KILL', $pid;
    waitpid $pid, 0;
}


sub restart {
    my ($b) = @_;

    $b->stop;
    $b->start;
}


# neither accepts nor answers, until resume()

sub freeze {
    my ($b) = @_;

    kill 'STOP', $b->{pid};

    for (1 .. 1000) {
        last if stopped($b->{pid});
        sleep 0.01;
    }
}


# a process stands still, which it does some time after the signal was sent

sub stopped {
    my ($pid) = @_;

    open my $f, '<', "/proc/$pid/stat" or return 0;

    return scalar(<$f> =~ /\) T /);
}


sub resume { kill 'CONT', $_[0]{pid} }


# All requests so far, in order of arrival: { method, uri, version, headers,
# header_list, body, rows (undef: none found), time, number, connection,
# on_connection }; the last three count from 1.

sub requests {
    my ($b) = @_;

    open my $f, '<:raw', $b->{record} or return;

    my @requests;

    while (read($f, my $head, 4) == 4) {
        my $size = unpack 'N', $head;
        last unless read($f, my $frozen, $size) == $size;
        push @requests, Storable::thaw($frozen);
    }

    my $from = $b->{cleared} || 0;
    splice @requests, 0, $from;

    return @requests;
}


# waits for so many requests and returns those that came

sub wait_requests {
    my ($b, $n, $timeout) = @_;

    my $end = time + ($timeout || 10);
    my @requests;

    while ((@requests = $b->requests) < $n && time < $end) {
        sleep 0.01;
    }

    return @requests;
}


# forgets the requests so far

sub clear {
    my ($b) = @_;

    $b->{cleared} = ($b->{cleared} || 0) + $b->requests;
}


# number of connections that brought a request

sub connections {
    my %seen = map { $_->{connection} => 1 } $_[0]->requests;
    return scalar keys %seen;
}


sub DESTROY {
    my ($b) = @_;

    return if $b->{owner} != $$;

    local ($?, $!, $@);
    $b->stop;
    unlink $b->{record};
}


# --- the process ------------------------------------------------------------

sub serve {
    my ($b, $listen) = @_;

    my (%conn, $number, $accepted);

    @$b{qw(conn turn busy)} = (\%conn, [], 0);
    $listen->blocking(0);

    for (;;) {
        my $now = time;
        my ($read, $write) = (IO::Select->new($listen), IO::Select->new);
        my $wait = 60;

        for my $c (values %conn) {
            $read->add($c->{socket}) unless $c->{eof};

            if (my $at = $c->{at}) {
                my $left = $at - $now;
                $wait = $left > 0 ? $left : 0 if $left < $wait;

            } elsif ($c->{out} ne '') {
                $write->add($c->{socket});
            }
        }

        my ($r, $w) = IO::Select::select($read, $write, undef, $wait);

        for my $s (@{$r || []}) {
            if ($s != $listen) {
                my $c = $conn{fileno $s} or next;
                $b->readable($c);
                next;
            }

            while (my $new = $listen->accept) {
                $new->blocking(0);
                binmode $new;
                setsockopt($new, IPPROTO_TCP, TCP_NODELAY, 1);
                $conn{fileno $new} = { socket => $new, in => '', out => '',
                    number => ++$accepted, requests => 0 };
            }
        }

        for my $s (@{$w || []}) {
            my $c = defined fileno($s) && $conn{fileno $s} or next;
            $b->writable($c);
        }

        $now = time;

        # an answer may close connections

        for my $c (my @open = values %conn) {
            next unless $c->{at} && $c->{at} <= $now && !$c->{gone};

            delete $c->{at};
            my $next = delete $c->{next};
            $next ? $b->answer($c, $next) : $b->writable($c);
        }
    }
}


sub drop {
    my ($b, $c, $reset) = @_;

    if ($reset) {
        setsockopt($c->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    }

    delete $b->{conn}{fileno $c->{socket}};
    close $c->{socket};
    $c->{gone} = 1;
    $b->finished($c);

    return;
}


sub readable {
    my ($b, $c) = @_;

    my $n = sysread($c->{socket}, $c->{in}, 262144, length $c->{in});

    if (!defined $n) {
        return if $!{EAGAIN} || $!{EINTR};
        return $b->drop($c);
    }

    if ($n == 0) {
        # the peer may have closed only its half, but proxies do not
        return $b->drop($c);
    }

    $b->next_request($c) unless $c->{current};
}


sub next_request {
    my ($b, $c) = @_;

    my $req = $b->parse($c) or return;

    $c->{current} = $req;
    $req->{time} = time;
    $req->{number} = ++$b->{number};
    $req->{connection} = $c->{number};
    $req->{on_connection} = ++$c->{requests};
    $req->{rows} = rows_of($req->{body}, $b->{list});

    my $frozen = Storable::freeze($req);
    open my $f, '>>:raw', $b->{record} or die "record: $!\n";
    syswrite($f, pack('N', length $frozen) . $frozen);
    close $f;

    if ($b->{serial} && $b->{busy}) {
        push @{$b->{turn}}, $c;
        return;
    }

    $b->begin($c);
}


sub begin {
    my ($b, $c) = @_;

    my $req = $c->{current};

    $c->{serving} = 1;
    $b->{busy}++;

    my $own = $b->{handler} ? $b->{handler}->($req) : undef;
    my $how = { %{$b->{defaults}}, %{$own || {}} };
    my $delay = $how->{delay};

    $delay = $delay->($req) if ref $delay;

    return $b->drop($c, $how->{reset})
        if !$delay && ($how->{close_before}
                       || $how->{reset} && !defined $how->{cut});

    if ($how->{hang}) {
        return;
    }

    if ($delay) {
        $c->{at} = time + $delay;
        $c->{next} = $how;
        return;
    }

    $b->answer($c, $how);
}


# the request of this connection is over: the next one's turn

sub finished {
    my ($b, $c) = @_;

    delete $c->{current};
    return unless delete $c->{serving};

    $b->{busy}--;
    return unless $b->{serial};

    while (my $next = shift @{$b->{turn}}) {
        next if $next->{gone};
        return $b->begin($next);
    }
}


sub answer {
    my ($b, $c, $how) = @_;

    if ($how->{close_before} || $how->{reset} && !defined $how->{cut}) {
        return $b->drop($c, $how->{reset});
    }

    my $bytes = defined $how->{raw} ? $how->{raw}
                                    : $b->format($c->{current}, $how);

    if (defined $how->{cut}) {
        $bytes = substr($bytes, 0, $how->{cut});
        $c->{then} = $how->{reset} ? 'reset' : 'close';

    } elsif ($how->{close} || $how->{then_close}
             || !$c->{current}{keepalive}
             || $b->{keepalive} && $c->{requests} >= $b->{keepalive})
    {
        $c->{then} = 'close';
    }

    $c->{out} = $bytes;
    $c->{how} = $how;
    $b->writable($c);
}


sub writable {
    my ($b, $c) = @_;

    my $how = $c->{how};
    my $size = length $c->{out};

    $size = $how->{dribble} if $how->{dribble} && $size > $how->{dribble};

    if ($size) {
        my $n = syswrite($c->{socket}, $c->{out}, $size);

        if (!defined $n) {
            return if $!{EAGAIN} || $!{EINTR};
            return $b->drop($c);
        }

        substr($c->{out}, 0, $n, '');
    }

    if ($c->{out} ne '') {
        $c->{at} = time + ($how->{pause} || 0.001) if $how->{dribble};
        return;
    }

    if (my $then = delete $c->{then}) {
        return $b->drop($c, $then eq 'reset');
    }

    $b->finished($c);
    $b->next_request($c) unless $c->{gone} || $c->{current};
}


sub format {
    my ($b, $req, $how) = @_;

    my @h = ref $how->{headers} eq 'HASH' ? %{$how->{headers}}
                                          : @{$how->{headers} || []};
    my ($status, $body) = @$how{qw(status body)};

    if (!defined $body) {
        my $rows = $how->{rows} || $req->{rows};

        if ($rows) {
            $body = qq({"$b->{answer}": [) . join(', ', @$rows) . ']}';

        } else {
            $body = qq({"error": "no $b->{list}"});
            $status ||= 400;
        }
    }

    $status ||= 200;

    my %names;
    for (my $i = 0; $i < @h; $i += 2) {
        $names{lc $h[$i]} = 1;
    }

    unshift @h, 'Content-Type', 'application/json'
        unless $names{'content-type'};

    if ($how->{gzip}) {
        require IO::Compress::Gzip;
        IO::Compress::Gzip::gzip(\$body, \my $small);
        $body = $small;
        push @h, 'Content-Encoding', 'gzip';
    }

    my $length = length $body;

    if ($status == 204 || $status == 304 || $status < 200) {
        $body = '';

    } elsif ($how->{chunked}) {
        my $size = $how->{chunked} > 1 ? $how->{chunked} : 4096;
        my $chunks = '';

        for (my $i = 0; $i < $length; $i += $size) {
            my $piece = substr($body, $i, $size);
            $chunks .= sprintf("%x\r\n", length $piece) . "$piece\r\n";
        }

        $body = "${chunks}0\r\n\r\n";
        push @h, 'Transfer-Encoding', 'chunked';

    } elsif ($how->{close}) {
        push @h, 'Connection', 'close';

    } else {
        push @h, 'Content-Length',
            defined $how->{length} ? $how->{length} : $length;
    }

    $body = '' if $req->{method} eq 'HEAD';

    my $head = "HTTP/1.1 $status " . ($how->{reason} || 'Status') . "\r\n";

    while (my ($name, $value) = splice @h, 0, 2) {
        $head .= "$name: $value\r\n";
    }

    return "$head\r\n$body";
}


# takes one whole request off the front of what was read

sub parse {
    my ($b, $c) = @_;

    my $end = index($c->{in}, "\r\n\r\n");
    return if $end < 0;

    my ($line, @lines) = split /\r\n/, substr($c->{in}, 0, $end);
    my %req = (headers => {}, header_list => []);

    @req{qw(method uri version)} = $line =~ m!^(\S+) (\S+) HTTP/(\d\.\d)$!
        or return $b->drop($c);

    for (@lines) {
        my ($name, $value) = /^([^:]+):[ \t]*(.*?)[ \t]*$/ or next;
        push @{$req{header_list}}, [$name, $value];
        $req{headers}{lc $name} = $value;
    }

    my $h = $req{headers};
    my $start = $end + 4;
    my $over;

    if (lc($h->{'transfer-encoding'} || '') eq 'chunked') {
        $req{body} = '';

        for (my $at = $start;;) {
            my $eol = index($c->{in}, "\r\n", $at);
            return if $eol < 0;

            my $size = hex substr($c->{in}, $at, $eol - $at);
            return if length $c->{in} < $eol + 2 + $size + 2;

            $req{body} .= substr($c->{in}, $eol + 2, $size);
            $at = $eol + 2 + $size + 2;

            if ($size == 0) {
                $over = $at;
                last;
            }
        }

    } else {
        my $length = $h->{'content-length'} || 0;

        return if length $c->{in} < $start + $length;

        $req{body} = substr($c->{in}, $start, $length);
        $over = $start + $length;
    }

    substr($c->{in}, 0, $over, '');

    my $connection = lc($h->{connection} || '');
    $req{keepalive} = $req{version} eq '1.1' ? $connection ne 'close'
                                             : $connection eq 'keep-alive';

    return \%req;
}


# --- just enough JSON, on the bytes ------------------------------------------

my $ws = qr/[ \t\r\n]*/;
my $string = qr/"(?:[^"\\]++|\\.)*+"/s;


# moves over one value at pos($$j); returns its bytes, or undef

sub value {
    my ($j) = @_;

    my $start = pos $$j;
    my $depth = 0;

    for (;;) {
        if ($$j =~ /\G\[[^\[\]{}"]*\]/gc || $$j =~ /\G$string/gco) {
            # whole: a flat list, a string

        } elsif ($$j =~ /\G[\[{]/gc) {
            $depth++;

        } elsif ($$j =~ /\G[\]}]/gc) {
            return if --$depth < 0;

        } elsif ($depth) {
            # the insides of lists are not looked at
            $$j =~ /\G[^\[\]{}"]+/gc or return;
            next;

        } else {
            $$j =~ /\G[-+.0-9A-Za-z]+/gc or return;
        }

        return substr($$j, $start, pos($$j) - $start) unless $depth;
    }
}


# [[name, value], ...] of an object, the values as the bytes they are; undef
# if the text is none

sub json_members {
    my ($text) = @_;

    return unless defined $text && $text =~ /\G$ws\{$ws/gc;

    my @members;
    return \@members if $text =~ /\G\}$ws\z/gc;

    for (;;) {
        $text =~ /\G($string)$ws:$ws/gc or return;
        my $name = substr($1, 1, -1);

        my $value = value(\$text);
        return unless defined $value;
        push @members, [$name, $value];

        next if $text =~ /\G$ws,$ws/gc;
        return $text =~ /\G$ws\}$ws\z/gc ? \@members : undef;
    }
}


# the elements of an array in the same way

sub json_elements {
    my ($text) = @_;

    return unless defined $text && $text =~ /\G$ws\[$ws/gc;

    my @elements;
    return \@elements if $text =~ /\G\]$ws\z/gc;

    for (;;) {
        my $value = value(\$text);
        return unless defined $value;
        push @elements, $value;

        next if $text =~ /\G$ws,$ws/gc;
        return $text =~ /\G$ws\]$ws\z/gc ? \@elements : undef;
    }
}


# the rows in the list of that name

sub rows_of {
    my ($body, $name) = @_;

    for (@{json_members($body) || []}) {
        return json_elements($_->[1]) if $_->[0] eq ($name || 'instances');
    }

    return undef;
}


1;
