package Test::Mark::HTTP2;

# A client for HTTP/2 with prior knowledge (RFC 9113): many streams on one
# connection, resets, flow-control windows in the test's own hand.
#
#   my $c = Test::Mark::HTTP2->new($port);
#   my @ids = map { $c->post('/v1/models/m:predict', $_) } @bodies;
#   my $r = $c->response($ids[0]);      # { status, headers, header_list,
#                                       #   body, complete, reset, error }
#   $c->reset($ids[1]);                 # RST_STREAM, CANCEL
#
# Options: settings => { number => value }, window => bytes of each stream,
# auto_window => 0 (then only window_update() lets the peer go on), timeout.

use warnings;
use strict;

use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

use Test::Mark::HTTP ();

use constant {
    DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6,
    GOAWAY => 7, WINDOW_UPDATE => 8, CONTINUATION => 9,
    END_STREAM => 1, ACK => 1, END_HEADERS => 4, PADDED => 8, PRIORITY => 32,
    HEADER_TABLE_SIZE => 1, INITIAL_WINDOW_SIZE => 4, MAX_FRAME_SIZE => 5,
    CANCEL => 8,
};


sub new {
    my ($class, $port, %o) = @_;

    my $s = IO::Socket::INET->new(
        Proto => 'tcp', PeerAddr => '127.0.0.1', PeerPort => $port,
        Timeout => 5) or return;

    binmode $s;
    setsockopt($s, IPPROTO_TCP, TCP_NODELAY, 1);
    Test::Mark::HTTP::register($s);

    my $c = bless {
        socket => $s, in => '', next_id => 1, streams => {},
        timeout => $o{timeout} || 20,
        auto_window => defined $o{auto_window} ? $o{auto_window} : 1,
        hpack => Test::Mark::HPACK->new,
        # what the peer lets us send
        peer => { INITIAL_WINDOW_SIZE, 65535, MAX_FRAME_SIZE, 16384 },
        window => 65535,
    }, $class;

    my %settings = %{$o{settings} || {}};
    $settings{+INITIAL_WINDOW_SIZE} = $o{window} if defined $o{window};

    $c->write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    $c->settings(%settings);

    return $c;
}


sub socket { $_[0]{socket} }


# --- out --------------------------------------------------------------------

sub write {
    my ($c, $bytes) = @_;

    local $SIG{PIPE} = 'IGNORE';

    while ($bytes ne '') {
        my $n = syswrite($c->{socket}, $bytes);

        if (!defined $n) {
            next if $!{EINTR};
            $c->{error} ||= "write: $!";
            return 0;
        }

        substr($bytes, 0, $n, '');
    }

    return 1;
}


sub frame {
    my ($c, $type, $flags, $id, $payload) = @_;

    $payload = '' unless defined $payload;

    return $c->write(pack('CnCCN', length($payload) >> 16,
        length($payload) & 0xffff, $type, $flags, $id) . $payload);
}


# Starts a stream and returns its number.  Arguments as those of http() in
# Test::Mark: method, uri, headers, body; also open => 1 (no END_STREAM: the
# test goes on with data()), and nodata => 1 (headers only, body to come).

sub request {
    my ($c, %r) = @_;

    my $id = $c->{next_id};
    $c->{next_id} += 2;

    my @given = ref $r{headers} eq 'HASH'
        ? map { [$_, $r{headers}{$_}] } sort keys %{$r{headers}}
        : Test::Mark::HTTP::pairs(@{$r{headers} || []});
    my %given = map { lc $_->[0] => 1 } @given;
    my $body = $r{body};

    my @h = (
        [':method', $r{method} || (defined $body ? 'POST' : 'GET')],
        [':scheme', 'http'],
        [':path', $r{uri} || '/'],
        [':authority', $r{authority} || 'localhost'],
    );

    if (defined $body) {
        push @h, ['content-type', 'application/json']
            unless $given{'content-type'};
        push @h, ['content-length', length $body]
            unless $given{'content-length'} || $r{open};
    }

    push @h, map { [lc $_->[0], $_->[1]] } @given;

    $c->{streams}{$id} = {
        status => 0, headers => {}, header_list => [], body => '',
        complete => 0, start => time,
        window => $c->{peer}{+INITIAL_WINDOW_SIZE},
    };

    my $end = !defined $body && !$r{open} && !$r{nodata};

    $c->frame(HEADERS, END_HEADERS | ($end ? END_STREAM : 0), $id,
              Test::Mark::HPACK::encode(@h));

    if (defined $body && !$r{nodata}) {
        $c->data($id, $body, !$r{open});
    }

    return $id;
}


sub post {
    my ($c, $uri, $body, %headers) = @_;

    return $c->request(uri => $uri, body => $body, headers => \%headers);
}


sub get {
    my ($c, $uri, %headers) = @_;

    return $c->request(uri => $uri, headers => \%headers);
}


# sends a part of the body, as the peer's windows allow; $end: the last one

sub data {
    my ($c, $id, $bytes, $end) = @_;

    my $s = $c->{streams}{$id};
    my $until = time + $c->{timeout};

    # most servers announce their windows first thing
    $c->pump(0) if length $bytes > 16384;

    for (;;) {
        my $size = length $bytes;

        for my $limit ($c->{peer}{+MAX_FRAME_SIZE}, $c->{window}, $s->{window})
        {
            $size = $limit if $size > $limit;
        }

        if ($size > 0 || $bytes eq '') {
            my $piece = substr($bytes, 0, $size, '');
            my $last = $bytes eq '';

            $c->frame(DATA, $last && $end ? END_STREAM : 0, $id, $piece);
            $c->{window} -= $size;
            $s->{window} -= $size;
            return 1 if $last;

            $c->pump(0);
            next;
        }

        # an answer may come before the whole body is out
        return 0 if $s->{complete} || defined $s->{reset} || $c->{error}
                    || time > $until;
        $c->pump(0.1);
    }
}


sub reset {
    my ($c, $id, $code) = @_;

    $c->{streams}{$id}{cancelled} = 1;
    $c->frame(RST_STREAM, 0, $id, pack('N', defined $code ? $code : CANCEL));
}


sub settings {
    my ($c, %settings) = @_;

    $c->frame(SETTINGS, 0, 0,
        join '', map { pack('nN', $_, $settings{$_}) } sort keys %settings);
}


# $id 0 is the whole connection

sub window_update {
    my ($c, $id, $bytes) = @_;

    $c->frame(WINDOW_UPDATE, 0, $id, pack('N', $bytes));
}


# returns whether the peer answers

sub ping {
    my ($c) = @_;

    my $end = time + $c->{timeout};

    delete $c->{pong};
    $c->frame(PING, 0, 0, 'nginxmrk');

    until ($c->{pong} || $c->{error} || time > $end) {
        $c->pump(0.1);
    }

    return $c->{pong} ? 1 : 0;
}


sub close { CORE::close($_[0]{socket}) }


# goes away with a TCP reset

sub abort {
    my ($c) = @_;

    setsockopt($c->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    CORE::close($c->{socket});
}


# --- in ---------------------------------------------------------------------

# waits for the end of a stream

sub response {
    my ($c, $id, $timeout) = @_;

    my $s = $c->{streams}{$id};
    my $end = time + ($timeout || $c->{timeout});

    until ($s->{complete} || defined $s->{reset}) {
        my $left = $end - time;

        if ($left <= 0 || $c->{error}) {
            $s->{error} = $c->{error} || 'timeout';
            last;
        }

        $c->pump($left);
    }

    $s->{error} = "reset $s->{reset}" if defined $s->{reset};
    $s->{time} = ($s->{end} || time) - $s->{start};

    return $s;
}


# the stream as it is now, without waiting

sub stream { $_[0]{streams}{$_[1]} }


# the peer's GOAWAY: [last stream, error code], or undef

sub goaway { $_[0]{goaway} }


# reads and handles frames until the given condition holds

sub wait {
    my ($c, $condition, $timeout) = @_;

    my $end = time + ($timeout || $c->{timeout});
    my $held;

    until ($held = $condition->()) {
        last if $c->{error} || time > $end;
        $c->pump(0.05);
    }

    return $held;
}


# waits for input at most so long and handles whole frames; 0 if there was none

sub pump {
    my ($c, $wait) = @_;

    return 0 if $c->{error};
    return 0 unless IO::Select->new($c->{socket})->can_read($wait);

    my $n = sysread($c->{socket}, $c->{in}, 65536, length $c->{in});

    if (!$n) {
        $c->{error} = defined $n ? 'closed' : "$!";
        return 0;
    }

    while (length $c->{in} >= 9) {
        my ($high, $low, $type, $flags, $id) = unpack 'CnCCN', $c->{in};
        my $size = ($high << 16) + $low;
        last if length $c->{in} < 9 + $size;

        my $payload = substr($c->{in}, 9, $size);
        substr($c->{in}, 0, 9 + $size, '');

        $c->handle($type, $flags, $id & 0x7fffffff, $payload);
    }

    return 1;
}


sub handle {
    my ($c, $type, $flags, $id, $payload) = @_;

    my $s = $c->{streams}{$id} || {};

    if ($type == DATA) {
        my $size = length $payload;

        if ($flags & PADDED) {
            my $pad = unpack 'C', $payload;
            $payload = substr($payload, 1, $size - 1 - $pad);
        }

        $s->{body} .= $payload;
        $s->{frames}++;

        if ($c->{auto_window} && $size) {
            $c->window_update(0, $size);
            $c->window_update($id, $size) unless $flags & END_STREAM;
        }

        $c->ended($s) if $flags & END_STREAM;

    } elsif ($type == HEADERS) {
        if ($flags & PADDED) {
            my $pad = unpack 'C', $payload;
            $payload = substr($payload, 1, length($payload) - 1 - $pad);
        }

        $payload = substr($payload, 5) if $flags & PRIORITY;

        $s->{block} = $payload;
        $s->{last} = $flags & END_STREAM;
        $c->headers($s) if $flags & END_HEADERS;

    } elsif ($type == CONTINUATION) {
        $s->{block} .= $payload;
        $c->headers($s) if $flags & END_HEADERS;

    } elsif ($type == RST_STREAM) {
        $s->{reset} = unpack 'N', $payload;
        $s->{end} = time;

    } elsif ($type == SETTINGS && !($flags & ACK)) {
        while ($payload =~ /\G(......)/gs) {
            my ($name, $value) = unpack 'nN', $1;

            if ($name == INITIAL_WINDOW_SIZE) {
                my $more = $value - $c->{peer}{+INITIAL_WINDOW_SIZE};
                $_->{window} += $more for values %{$c->{streams}};
            }

            $c->{peer}{$name} = $value;
        }

        $c->{settled} = 1;
        $c->frame(SETTINGS, ACK, 0);

    } elsif ($type == PING) {
        if ($flags & ACK) {
            $c->{pong} = 1;
        } else {
            $c->frame(PING, ACK, 0, $payload);
        }

    } elsif ($type == GOAWAY) {
        $c->{goaway} = [unpack 'NN', $payload];

    } elsif ($type == WINDOW_UPDATE) {
        my $more = unpack('N', $payload) & 0x7fffffff;

        if ($id) {
            $s->{window} += $more;
        } else {
            $c->{window} += $more;
        }
    }
}


sub headers {
    my ($c, $s) = @_;

    for ($c->{hpack}->decode(delete $s->{block})) {
        my ($name, $value) = @$_;

        if ($name eq ':status') {
            $s->{status} = $value + 0;
            next;
        }

        push @{$s->{header_list}}, [$name, $value];
        my $known = \$s->{headers}{$name};
        $$known = defined $$known ? "$$known, $value" : $value;
    }

    $c->ended($s) if $s->{last};
}


sub ended {
    my ($c, $s) = @_;

    $s->{complete} = 1;
    $s->{end} = time;
}


package Test::Mark::HPACK;

# Header compression (RFC 7541): encodes literals only, decodes everything.

use warnings;
use strict;


# Appendix A; a name without a value has an empty one

my @static = map { [split /=/, "$_=", 2] } qw(
    :authority :method=GET :method=POST :path=/ :path=/index.html
    :scheme=http :scheme=https :status=200 :status=204 :status=206
    :status=304 :status=400 :status=404 :status=500 accept-charset),
    'accept-encoding=gzip, deflate', qw(
    accept-language accept-ranges accept access-control-allow-origin age allow
    authorization cache-control content-disposition content-encoding
    content-language content-length content-location content-range
    content-type cookie date etag expect expires from host if-match
    if-modified-since if-none-match if-range if-unmodified-since last-modified
    link location max-forwards proxy-authenticate proxy-authorization range
    referer refresh retry-after server set-cookie strict-transport-security
    transfer-encoding user-agent vary via www-authenticate);

$_->[1] =~ s/=\z// for @static;


# Appendix B: the code is canonical, so the symbols of each length say it all

my %lengths = (
    5 => '48-50 97 99 101 105 111 115-116',
    6 => '32 37 45-47 51-57 61 65 95 98 100 102-104 108-110 112 114 117',
    7 => '58 66-87 89 106-107 113 118-122',
    8 => '38 42 44 59 88 90',
    10 => '33-34 40-41 63',
    11 => '39 43 124',
    12 => '35 62',
    13 => '0 36 64 91 93 126',
    14 => '94 125',
    15 => '60 96 123',
    19 => '92 195 208',
    20 => '128 130-131 162 184 194 224 226',
    21 => '153 161 167 172 176-177 179 209 216-217 227 229-230',
    22 => '129 132-134 136 146 154 156 160 163-164 169-170 173 178 181
           185-187 189-190 196 198 228 232-233',
    23 => '1 135 137-141 143 147 149-152 155 157-158 165-166 168 174-175 180
           182-183 188 191 197 231 239',
    24 => '9 142 144-145 148 159 171 206 215 225 236-237',
    25 => '199 207 234-235',
    26 => '192-193 200-202 205 210 213 218-219 238 240 242-243 255',
    27 => '203-204 211-212 214 221-223 241 244-248 250-254',
    28 => '2-8 11-12 14-21 23-31 127 220 249',
    30 => '10 13 22 256',
);

my %symbol;     # bits, as a string of 0 and 1 => character

{
    my ($code, $bits) = (0, 0);

    for my $length (sort { $a <=> $b } keys %lengths) {
        $code <<= $length - $bits;
        $bits = $length;

        for (split ' ', $lengths{$length}) {
            my ($first, $last) = split /-/;

            for my $n ($first .. (defined $last ? $last : $first)) {
                $symbol{sprintf '%0*b', $bits, $code++} = $n;
            }
        }
    }
}


sub new { bless { table => [], size => 0, limit => 4096 }, $_[0] }


sub encode {
    return join '', map {
        "\0" . integer(7, 0, length $_->[0]) . $_->[0]
             . integer(7, 0, length $_->[1]) . $_->[1]
    } @_;
}


# N-bit prefix, the bits above it, the number

sub integer {
    my ($n, $high, $value) = @_;

    my $max = (1 << $n) - 1;
    return chr($high | $value) if $value < $max;

    my $bytes = chr($high | $max);

    for ($value -= $max; $value >= 128; $value >>= 7) {
        $bytes .= chr(128 | $value & 127);
    }

    return $bytes . chr($value);
}


sub decode {
    my ($h, $in) = @_;

    my @headers;

    while ($in ne '') {
        my $first = ord $in;

        if ($first & 0x80) {
            push @headers, $h->entry(take_integer(\$in, 7));
            next;
        }

        if (($first & 0xe0) == 0x20) {
            $h->{limit} = take_integer(\$in, 5);
            $h->evict;
            next;
        }

        my $indexed = ($first & 0xc0) == 0x40;
        my $index = take_integer(\$in, $indexed ? 6 : 4);
        my $name = $index ? $h->entry($index)->[0] : take_string(\$in);
        my $header = [$name, take_string(\$in)];

        push @headers, $header;

        if ($indexed) {
            unshift @{$h->{table}}, $header;
            $h->{size} += 32 + length($header->[0]) + length($header->[1]);
            $h->evict;
        }
    }

    return @headers;
}


sub entry {
    my ($h, $index) = @_;

    my $entry = $index <= @static ? $static[$index - 1]
                                  : $h->{table}[$index - @static - 1];
    die "hpack: no entry $index\n" unless $index && $entry;

    return $entry;
}


sub evict {
    my ($h) = @_;

    while ($h->{size} > $h->{limit}) {
        my $old = pop @{$h->{table}};
        $h->{size} -= 32 + length($old->[0]) + length($old->[1]);
    }
}


sub take_integer {
    my ($in, $n) = @_;

    my $max = (1 << $n) - 1;
    my $value = ord(substr($$in, 0, 1, '')) & $max;
    return $value if $value < $max;

    for (my $shift = 0;; $shift += 7) {
        my $byte = ord substr($$in, 0, 1, '');
        $value += ($byte & 127) << $shift;
        return $value unless $byte & 128;
    }
}


sub take_string {
    my ($in) = @_;

    my $huffman = ord($$in) & 0x80;
    my $bytes = substr($$in, 0, take_integer($in, 7), '');

    return $huffman ? huffman($bytes) : $bytes;
}


sub huffman {
    my ($bytes) = @_;

    my ($text, $bits) = ('', '');

    for (split //, unpack('B*', $bytes)) {
        $bits .= $_;

        if (defined(my $n = $symbol{$bits})) {
            die "hpack: EOS in a string\n" if $n == 256;
            $text .= chr $n;
            $bits = '';
        }
    }

    die "hpack: bad padding\n" if $bits =~ /0/ || length $bits > 7;

    return $text;
}


1;
