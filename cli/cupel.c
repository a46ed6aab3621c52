/* cupel - the command line: asks a dispatcher, or starts everything on this box. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
