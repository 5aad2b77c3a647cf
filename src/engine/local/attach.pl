# Writes standard input to a dyno's standard input through conmon's attach socket, which is SOCK_SEQPACKET: Node cannot open
# such sockets. Output of the dyno that comes the same way is thrown away; the log file has it. The socket's path comes in
# the environment, so that the argument vector is constant.
use strict;
use warnings;
use Socket;

socket(my $conmon, AF_UNIX, SOCK_SEQPACKET, 0) or die "socket: $!";
connect($conmon, sockaddr_un($ENV{STATOR_ATTACH})) or die "connect: $!";
my $both = '';
vec($both, fileno($_), 1) = 1 for *STDIN, $conmon;
while (1) {
    select(my $ready = $both, undef, undef, undef);
    last if vec($ready, fileno($conmon), 1) and not sysread($conmon, my $output, 65536); # the dyno has ended
    next unless vec($ready, fileno(STDIN), 1);
    my $count = sysread(STDIN, my $input, 8192); # conmon reads packets of 32 kB at most, and cuts larger ones
    last unless $count;
    die "write: $!" unless syswrite($conmon, $input) == $count;
}
