package Test::Mark::CGI;

# Model servers behind fastcgi_pass, scgi_pass and uwsgi_pass: backends like
# Test::Mark::Backend, with all that it can do wrong, in other tongues.
#
#   my $b = Test::Mark::FastCGI->new(port => $t->port(8081));
#
# A request has its parameters in {params}, and in {repeated} the names of
# those that came more than once; {headers} are those of HTTP_*.  One with a
# parameter NO_BODY has no body, whatever its CONTENT_LENGTH says.

use warnings;
use strict;

use Test::Mark::Backend;

our @ISA = ('Test::Mark::Backend');


# what all of them say of a request

sub request {
    my ($b, $body, $keepalive, @params) = @_;

    my (%params, @repeated, %headers);

    while (my ($name, $value) = splice @params, 0, 2) {
        push @repeated, $name if exists $params{$name};
        $params{$name} = $value;

        next unless $name =~ /^HTTP_(.*)$/;
        (my $header = lc $1) =~ tr/_/-/;
        $headers{$header} = $value;
    }

    return {
        method => $params{REQUEST_METHOD}, uri => $params{REQUEST_URI},
        version => $params{SERVER_PROTOCOL}, headers => \%headers,
        params => \%params, repeated => \@repeated, body => $body,
        keepalive => $keepalive,
    };
}


# a response of HTTP becomes one of CGI

sub format {
    my ($b, $req, $how) = @_;

    my $bytes = $b->SUPER::format($req, $how);
    $bytes =~ s/^HTTP\S+ /Status: /;

    return $bytes;
}


package Test::Mark::SCGI;

# netstrings of headers, then the body; one request a connection

use warnings;
use strict;

our @ISA = ('Test::Mark::CGI');


sub parse {
    my ($b, $c) = @_;

    my ($size) = $c->{in} =~ /^(\d+):/ or return;
    my $start = length($size) + 1;

    return if length $c->{in} < $start + $size + 1;

    my @params = split /\0/, substr($c->{in}, $start, $size), -1;
    pop @params;

    # the first by the protocol
    return $b->drop($c) unless $params[0] eq 'CONTENT_LENGTH';

    my %params = @params;
    my $length = $params{NO_BODY} ? 0 : $params{CONTENT_LENGTH};

    $start += $size + 1;
    return if length $c->{in} < $start + $length;

    my $body = substr($c->{in}, $start, $length);
    $c->{in} = '';

    return $b->request($body, 0, @params);
}


package Test::Mark::UWSGI;

# a head of four bytes, parameters, then the body; one request a connection

use warnings;
use strict;

our @ISA = ('Test::Mark::CGI');


sub parse {
    my ($b, $c) = @_;

    return if length $c->{in} < 4;

    my $size = unpack 'x v', $c->{in};
    return if length $c->{in} < 4 + $size;

    my @params = unpack '(v/a v/a)*', substr($c->{in}, 4, $size);
    my %params = @params;
    my $length = $params{NO_BODY} ? 0 : $params{CONTENT_LENGTH} || 0;

    return if length $c->{in} < 4 + $size + $length;

    my $body = substr($c->{in}, 4 + $size, $length);
    $c->{in} = '';

    return $b->request($body, 0, @params);
}


# servers of uwsgi answer in HTTP

sub format { Test::Mark::Backend::format(@_) }


package Test::Mark::FastCGI;

# records, one request at a time on a connection

use warnings;
use strict;

our @ISA = ('Test::Mark::CGI');

# types of records

use constant {
    BEGIN_REQUEST => 1, END_REQUEST => 3, PARAMS => 4, INPUT => 5, OUTPUT => 6
};


sub parse {
    my ($b, $c) = @_;

    my ($at, $flags, %of) = (0, 0);

    for (;;) {
        return if length $c->{in} < $at + 8;

        my ($type, $size, $padding) = unpack "x$at x C x2 n C", $c->{in};
        return if length $c->{in} < $at + 8 + $size + $padding;

        my $data = substr($c->{in}, $at + 8, $size);
        $at += 8 + $size + $padding;

        $flags = unpack 'x2 C', $data if $type == BEGIN_REQUEST;
        $of{$type} .= $data;

        last if $type == INPUT && $size == 0;
    }

    substr($c->{in}, 0, $at, '');

    return $b->request($of{+INPUT}, $flags & 1, pairs($of{+PARAMS}));
}


# names and values, each with its length in one byte or four before them

sub pairs {
    my ($bytes) = @_;

    my ($at, @found) = (0);

    while ($at < length $bytes) {
        my @sizes;

        for (1, 2) {
            my $size = unpack "x$at C", $bytes;

            if ($size < 128) {
                $at++;

            } else {
                $size = unpack("x$at N", $bytes) & 0x7fffffff;
                $at += 4;
            }

            push @sizes, $size;
        }

        for my $size (@sizes) {
            push @found, substr($bytes, $at, $size);
            $at += $size;
        }
    }

    return @found;
}


sub record {
    my ($type, $data) = @_;

    my $padding = -length($data) % 8;

    return pack('C C n n C x', 1, $type, 1, length $data, $padding)
        . $data . "\0" x $padding;
}


sub format {
    my ($b, $req, $how) = @_;

    my $bytes = $b->SUPER::format($req, $how);
    my $records = '';

    for (my $at = 0; $at < length $bytes; $at += 5000) {
        $records .= record(OUTPUT, substr($bytes, $at, 5000));
    }

    return $records . record(OUTPUT, '') . record(END_REQUEST, "\0" x 8);
}


1;
