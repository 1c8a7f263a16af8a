package Test::Mark::Lambda;

# A fake of Lambda's Invoke API and function URLs, for a Test::Mark::Backend.
# It checks the signature of each request by itself, as AWS describes it, with
# nothing of the module's; and it does what a function's name tells it to.
#
#   my %keys = (AKID => { secret => 's3cret', token => '' });
#   my $b = $t->backend(9001, handler => lambda(keys => \%keys,
#       region => 'eu-central-1', function => sub { my ($req, $name) = @_;
#           return { body => '{"ok": true}' } }));
#
# The function may return what a handler of a backend may.  A wrong signature
# is a 403, as it is there, with what was wrong in its message.

use warnings;
use strict;

use Digest::SHA qw(sha256_hex hmac_sha256 hmac_sha256_hex);
use Time::Local qw(timegm);

use Exporter 'import';

our @EXPORT_OK = qw(lambda wrong service_error);


sub lambda {
    my (%o) = @_;

    return sub {
        my ($req) = @_;

        my ($name) = $req->{uri}
            =~ m!^/2015-03-31/functions/([^/?]+)/invocations!;

        my $why = $o{unsigned} ? undef : wrong($req, %o);

        # the token is in what it says, and must not come to be in a log

        return service_error(403, 'InvalidSignatureException', { Message =>
            $why . '\n\nThe Canonical String should have been\nx-amz-security'
            . '-token:secret-token' }) if defined $why;

        my $how = $o{function}->($req, $name);
        my %headers = (
            'Content-Type' => 'application/json',
            'x-amzn-RequestId' => sprintf('request-%d', $req->{number}),
            'X-Amz-Executed-Version' => '$LATEST',
            %{$how->{headers} || {}},
        );

        return { %$how, headers => \%headers };
    };
}


# an error of the service itself

sub service_error {
    my ($status, $type, $body, %headers) = @_;

    my $json = join ',', map { qq("$_":"$body->{$_}") } sort keys %$body;

    return { status => $status, body => "{$json}", headers => {
        'Content-Type' => 'application/json',
        'x-amzn-RequestId' => 'refused-1',
        'x-amzn-ErrorType' => "$type:http://internal.amazon.com/coral/",
        %headers,
    } };
}


# what is wrong about a request's signature; undef: nothing

sub wrong {
    my ($req, %o) = @_;

    my %h;

    # what is there twice is put together

    for (@{$req->{header_list}}) {
        my ($name, $value) = (lc $_->[0], $_->[1]);
        $value =~ s/^\s+|\s+$//g;
        $value =~ s/ +/ /g;
        $h{$name} = defined $h{$name} ? "$h{$name},$value" : $value;
    }

    my ($akid, $scope, $signed, $signature) = ($h{authorization} || '')
        =~ m!^AWS4-HMAC-SHA256[ ]Credential=([^/]+)/([^,]+),[ ]?
              SignedHeaders=([^,]+),[ ]?Signature=([0-9a-f]{64})$!x
        or return 'no signature';

    my $key = $o{keys}{$akid} or return "no such key: $akid";
    my $date = $h{'x-amz-date'} || '';

    $date =~ /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/
        or return "no date: $date";
    abs(timegm($6, $5, $4, $3, $2 - 1, $1) - time) < 300
        or return "too old: $date";

    my ($day) = $date =~ /^(\d+)/;
    my $want = "$day/$o{region}/lambda/aws4_request";

    return "scope $scope instead of $want" if $scope ne $want;
    return 'another token' if ($h{'x-amz-security-token'} || '')
        ne ($key->{token} || '');

    my @signed = split /;/, $signed;
    my %signed = map { $_ => 1 } @signed;

    return "not in order: $signed" if $signed ne join ';', sort @signed;

    for ('host', grep { /^x-amz-/ } keys %h) {
        return "not signed: $_" unless $signed{$_};
    }

    for (@signed) {
        return "not there: $_" unless defined $h{$_};
    }

    my ($path, $query) = $req->{uri} =~ /^([^?]*)(?:\?(.*))?$/s;

    my $canonical = join "\n", $req->{method},
        join('/', map { escape($_) } split m!/!, $path, -1),
        join('&', sort map {
            my ($name, $value) = split /=/, $_, 2;
            escape(unescape($name)) . '='
                . escape(unescape(defined $value ? $value : ''))
        } split /&/, defined $query ? $query : ''),
        (map { "$_:$h{$_}" } @signed), '', $signed, sha256_hex($req->{body});

    my $to_sign = join "\n", 'AWS4-HMAC-SHA256', $date, $scope,
        sha256_hex($canonical);

    my $k = "AWS4$key->{secret}";
    $k = hmac_sha256($_, $k) for split m!/!, $scope;

    return hmac_sha256_hex($to_sign, $k) eq $signature
        ? undef : 'the signature does not match';
}


sub escape {
    my ($s) = @_;

    $s =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge;
    return $s;
}


sub unescape {
    my ($s) = @_;

    $s =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    return $s;
}


1;
