/**
 * Small programs that are run inside a dyno by its own perl, which is the stack's and read-only, with neither the dyno's environment nor
 * its profile scripts. What they need of a user's comes as arguments.
 */
const perl = (script: string, ...args: readonly string[]): readonly string[] => [
  "/usr/bin/perl",
  "-e",
  script,
  ...args,
];

/**
 * Writes `+` once it is connected, then what the connection gives, and sends it what comes; the end of its input is passed on as
 * a half-close. Where it cannot connect it says why on standard error.
 */
const CONNECT = `
use strict; use IO::Socket::IP; use IO::Handle; $SIG{PIPE} = 'IGNORE';
my $to = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1], Proto => 'tcp', Timeout => 30);
if (!$to) { print STDERR $@ || $!; exit 1 }
my ($up, $down, $ended) = ('', '+', 0);
$_->blocking(0) for $to, *STDIN, *STDOUT;
while (1) {
  my ($r, $w) = ('', '');
  vec($r, 0, 1) = 1 if !$ended && length $up < 65536;
  vec($r, fileno $to, 1) = 1 if length $down < 65536;
  vec($w, fileno $to, 1) = 1 if $up ne '';
  vec($w, 1, 1) = 1 if $down ne '';
  select($r, $w, undef, undef) or next;
  if (vec($r, 0, 1)) { my $n = sysread(STDIN, $up, 65536, length $up); $ended = 1 if defined $n && !$n }
  if ($up ne '' && vec($w, fileno $to, 1)) {
    my $n = syswrite($to, $up); if (defined $n) { substr($up, 0, $n) = '' } elsif (!$!{EAGAIN}) { last }
  }
  if ($ended == 1 && $up eq '') { $ended = 2; shutdown($to, 1) }
  if (vec($r, fileno $to, 1)) {
    my $n = sysread($to, $down, 65536, length $down); last if defined $n ? !$n : !$!{EAGAIN};
  }
  if ($down ne '' && vec($w, 1, 1)) { my $n = syswrite(STDOUT, $down); last if !defined $n && !$!{EAGAIN}; substr($down, 0, $n // 0) = '' }
}
STDOUT->blocking(1); print $down;`;

/** Writes size, permission bits, time of change and a line feed, then what is in the file. It does not wait for a pipe's writer. */
const READ = `
use strict; use Fcntl; chdir '/app'; binmode STDOUT;
sub refuse { print STDERR $_[0]; exit 1 }
sysopen(my $file, $ARGV[0], O_RDONLY | O_NONBLOCK) or refuse($!);
my @facts = stat $file or refuse($!);
refuse('Is a directory') if -d _;
refuse('Not a regular file') unless -f _;
printf "%d %d %d\\n", $facts[7], $facts[2] & 07777, $facts[9]; $| = 1; print '';
while (1) { my $n = sysread($file, my $bytes, 65536) // refuse($!); last unless $n; print $bytes or exit 1 }`;

export const connectArguments = (host: string, port: number): readonly string[] => perl(CONNECT, host, String(port));
export const readArguments = (path: string): readonly string[] => perl(READ, path);
