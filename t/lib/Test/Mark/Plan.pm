package Test::Mark::Plan;

# Plan documents for mark_plan, as a planner would write them.
#
#   my $plan = Test::Mark::Plan->new(pool => 'p', file => "$dir/plan.json");
#
#   $plan->put($plan->text(peers => [{ address => '127.0.0.1:8501' }]));
#
# Each text has the next version, unless it is told another.

use warnings;
use strict;

use Digest::SHA qw(hmac_sha256);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(time);

my $json = JSON::PP->new->canonical;


# Options: pool, file; others are members of every document

sub new {
    my ($class, %o) = @_;

    my $self = bless { file => delete $o{file}, version => 0 }, $class;

    $self->{defaults} = { format => 1, %o };

    return $self;
}


sub version { $_[0]{version} }


# the document; a member that is undef is left out

sub text {
    my ($self, %o) = @_;

    my $now = time;
    my %doc = (%{$self->{defaults}}, issued => $now, expires => $now + 600,
               version => $self->{version} + 1, %o);

    delete @doc{grep { !defined $doc{$_} } keys %doc};
    $self->{version} = $doc{version}
        if ($doc{version} || 0) == $self->{version} + 1;

    return $json->encode(\%doc);
}


# comes in the place of what is there, as a whole

sub put {
    my ($self, $text) = @_;

    my $new = "$self->{file}.new";

    $self->overwrite($text, $new);
    rename $new, $self->{file} or die "rename $new: $!\n";
}


# the file itself is written again

sub overwrite {
    my ($self, $text, $file) = @_;

    $file ||= $self->{file};

    open my $f, '>:raw', $file or die "$file: $!\n";
    print $f $text;
    close $f or die "$file: $!\n";
}


sub remove { unlink $_[0]{file} }


sub hmac {
    my ($self, $text, $id, $secret) = @_;

    return envelope($text, 'hmac-sha256', $id, hmac_sha256($text, $secret));
}


# by openssl, with the private key in a file

sub ed25519 {
    my ($self, $text, $id, $key) = @_;

    my $file = "$self->{file}.signed";

    $self->overwrite($text, $file);

    open my $out, '-|', 'openssl', 'pkeyutl', '-sign', '-rawin', '-inkey',
        $key, '-in', $file or die "openssl: $!\n";
    binmode $out;
    local $/;
    my $signature = <$out>;
    close $out or die "openssl cannot sign\n";

    return envelope($text, 'ed25519', $id, $signature);
}


sub envelope {
    my ($text, $algorithm, $id, $signature) = @_;

    return $json->encode({ plan => $text, algorithm => $algorithm,
                           key => $id,
                           signature => encode_base64($signature, '') });
}


1;
