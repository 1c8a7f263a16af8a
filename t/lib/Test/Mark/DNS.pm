package Test::Mark::DNS;

# A DNS server that says what a test tells it to, over UDP, in a process of its
# own.
#
#   my $dns = Test::Mark::DNS->new(port => $t->port(8053));
#
#   $dns->set('model.test', ttl => 1, addresses => ['127.0.0.1', '::1']);
#   $dns->set('model.test', rcode => 2);    # SERVFAIL; 3 is NXDOMAIN
#   $dns->set('model.test', silent => 1);
#
# Names that it was not told of do not exist.  queries('model.test') is how
# many there have been.

use warnings;
use strict;

use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Socket qw(AF_INET AF_INET6 inet_pton);
use Storable ();

use constant { A => 1, AAAA => 28, IN => 1 };


sub new {
    my ($class, %o) = @_;

    my $socket = IO::Socket::INET->new(Proto => 'udp',
        LocalAddr => '127.0.0.1', LocalPort => $o{port} || 0)
        or die "cannot listen on port $o{port}: $!\n";

    my $d = bless {
        port => $socket->sockport, names => {}, owner => $$,
        dir => File::Temp::tempdir('mark-dns-XXXXXX', TMPDIR => 1,
                                   CLEANUP => 1),
    }, $class;

    $d->store;

    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        eval { $d->serve($socket); 1 } or warn "dns: $@";
        POSIX::_exit(1);
    }

    $d->{pid} = $pid;

    return $d;
}


sub port { $_[0]{port} }


sub set {
    my ($d, $name, %how) = @_;

    $d->{names}{$name} = { ttl => 1, addresses => [], rcode => 0, %how };
    $d->store;
}


sub store {
    my ($d) = @_;

    Storable::nstore($d->{names}, "$d->{dir}/new");
    rename "$d->{dir}/new", "$d->{dir}/names" or die "rename: $!\n";
}


sub queries {
    my ($d, $name) = @_;

    open my $f, '<', "$d->{dir}/queries" or return 0;
    return scalar grep { $_ eq "$name\n" } <$f>;
}


sub serve {
    my ($d, $socket) = @_;

    for (;;) {
        my $peer = $socket->recv(my $query, 4096);
        next unless defined $peer && length $query > 12;

        my $answer = $d->answer($query);
        $socket->send($answer, 0, $peer) if defined $answer;
    }
}


sub answer {
    my ($d, $query) = @_;

    my ($id) = unpack 'n', $query;
    my ($at, @labels) = (12);

    while (my $len = ord substr($query, $at, 1)) {
        push @labels, substr($query, $at + 1, $len);
        $at += $len + 1;
    }

    my $name = lc join '.', @labels;
    my ($type) = unpack 'n', substr($query, $at + 1, 2);
    my $question = substr($query, 12, $at + 5 - 12);

    open my $f, '>>', "$d->{dir}/queries" or die "queries: $!\n";
    syswrite $f, "$name\n";
    close $f;

    my $how = Storable::retrieve("$d->{dir}/names")->{$name} || { rcode => 3 };

    return if $how->{silent};

    my @answers;

    for my $address (@{$how->{addresses} || []}) {
        my $six = $address =~ /:/;
        my $bytes = inet_pton($six ? AF_INET6 : AF_INET, $address);

        next unless $type == ($six ? AAAA : A);

        # the name is the question's, 12 bytes from the start
        push @answers, pack('n n n N n/a*', 0xc00c, $type, IN, $how->{ttl},
                            $bytes);
    }

    # recursion was desired and is available

    return pack('n n n n n n', $id, 0x8180 | $how->{rcode}, 1,
                scalar @answers, 0, 0) . $question . join '', @answers;
}


sub DESTROY {
    my ($d) = @_;

    return if $d->{owner} != $$;

    local ($?, $!, $@);
    kill 'KILL', $d->{pid};
    waitpid $d->{pid}, 0;
}


1;
