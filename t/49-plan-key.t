#!/usr/bin/perl

# Signed plans: with a key, nothing is taken but what it has signed.  The
# signatures are made by openssl and by Perl's Digest::SHA.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::Plan;

my $t = Test::Mark->new(log_level => 'info');

plan(skip_all => 'no module') unless $t->has_module;

my $dir = $t->dir;
my $secret = "0123456789abcdef of the planner's";

$t->write_file('secret', "$secret\n");

for my $name (qw(planner other)) {
    system("openssl genpkey -algorithm ed25519 -out $dir/$name.pem"
           . " 2>>$dir/openssl.log"
           . " && openssl pkey -in $dir/$name.pem -pubout -out $dir/$name.pub"
           . " 2>>$dir/openssl.log") == 0
        or plan(skip_all => 'openssl makes no ed25519 keys');
}

$t->backend($_) for 8081, 8082;

my $conf = <<'EOC';
%%GLOBALS%%
events { }
http {
    %%HTTP%%

    upstream hmac {
        server 127.0.0.1:%%PORT_8081%%;
        mark_balance slo;
        mark_plan file hmac.json interval=20ms key=secret key_id=us;
    }

    upstream ed25519 {
        server 127.0.0.1:%%PORT_8081%%;
        mark_balance slo;
        mark_plan file %%DIR%%/ed25519.json interval=20ms
                  key=%%DIR%%/planner.pub;
    }

    upstream none {
        server 127.0.0.1:%%PORT_8081%%;
        mark_balance slo;
        mark_plan file %%DIR%%/none.json interval=20ms;
    }

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        add_header X-Peer $upstream_addr;

        location /hmac { proxy_pass http://hmac; }
        location /ed25519 { proxy_pass http://ed25519; }
        location /none { proxy_pass http://none; }
        location = /mark_status { mark_status json; }
    }
}
EOC

$t->conf($conf)->run;

my %plan = map {
    $_ => Test::Mark::Plan->new(pool => $_, file => "$dir/$_.json")
} qw(hmac ed25519 none);

my %address = map { $_ => '127.0.0.1:' . $t->port($_) } 8081, 8082;
my $there = $address{8082};


sub peer {
    my ($pool) = @_;

    return http_post($t->port(8080), "/$pool", '{"instances": [1]}')
        ->{headers}{'x-peer'} || '';
}


sub text {
    my ($pool) = @_;

    return $plan{$pool}->text(peers => [{ address => $address{8082} }]);
}


sub refused {
    my ($pool, $what, $text, $why) = @_;

    my $from = length $t->log;

    $plan{$pool}->put($text);
    ok(wait_for(sub {
        $t->log($from) =~ /of upstream "$pool" is refused, signature: .*$why/
    }), "$pool: $what is refused") or diag($t->log($from));
    is(peer($pool), $address{8081}, "$pool: and changes nothing");
}


sub in_force {
    my ($pool, $what, $text) = @_;

    $plan{$pool}->put($text);
    ok(wait_for(sub { peer($pool) eq $address{8082} }),
        "$pool: $what is in force") or diag($t->log);
}

refused('hmac', 'not signed', text('hmac'), 'is not signed');
refused('hmac', 'another secret',
        $plan{hmac}->hmac(text('hmac'), 'us', 'x' x 32), 'is not that of');
refused('hmac', 'another id',
        $plan{hmac}->hmac(text('hmac'), 'them', $secret), '');
refused('hmac', 'another algorithm',
        $plan{hmac}->ed25519(text('hmac'), 'us', "$dir/planner.pem"), '');

my $signed = $plan{hmac}->hmac(text('hmac'), 'us', $secret);

(my $changed = $signed) =~ s/\Q$there/127.0.0.1:1/;
refused('hmac', 'another text', $changed, 'is not that of');
in_force('hmac', 'what is signed', $signed);

refused('ed25519', 'not signed', text('ed25519'), 'is not signed');
refused('ed25519', 'another key',
        $plan{ed25519}->ed25519(text('ed25519'), 'us', "$dir/other.pem"),
        'is not that of');
refused('ed25519', 'the public key as a secret',
        $plan{ed25519}->hmac(text('ed25519'), 'us',
                             $t->read_file('planner.pub')), '');
$signed = $plan{ed25519}->ed25519(text('ed25519'), 'us',
                                  "$dir/planner.pem");
($changed = $signed) =~ s/\Q$there/127.0.0.1:1/;
refused('ed25519', 'another text', $changed, 'is not that of');
in_force('ed25519', 'what is signed', $signed);

# an older one that was signed, once more

my $old = $plan{hmac}->hmac($plan{hmac}->text(version => 1, peers => [
    { address => $address{8081} }
]), 'us', $secret);

$plan{hmac}->put($old);
ok($t->wait_log(qr/of upstream "hmac" is refused, stale/),
    'an older one is refused');
is(peer('hmac'), $address{8082}, 'and changes nothing');

# without a key signatures mean nothing

in_force('none', 'what anybody signed',
         $plan{none}->hmac(text('none'), 'me', 'x' x 32));

# what cannot be a key

$t->write_file('bad.pub', "-----BEGIN PUBLIC KEY-----\nMCow\n");

for my $key (qw(bad.pub planner.pem)) {
    (my $text = $conf) =~ s/planner\.pub/$key/;
    my ($status, $said) = $t->test_conf($text);

    ok($status != 0 && $said =~ /\[emerg\].*the key ".*\Q$key" of "mark_plan"/,
        "$key is no public key") or diag($said);
}

done_testing();
