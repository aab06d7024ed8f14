#include "bench/load/commands.h"

int main(int argc, char** argv) { return load::Main({argv + 1, argv + argc}); }
