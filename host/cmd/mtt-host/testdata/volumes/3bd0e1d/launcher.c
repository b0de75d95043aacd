// Replaces itself by the program that the variable WALK names, with its own arguments and environment.
static long execve_(const char *p, char **a, char **e) {
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(59), "D"(p), "S"(a), "d"(e) : "rcx", "r11", "memory");
	return r;
}
__attribute__((noreturn)) static void leave(int code) {
	__asm__ volatile("syscall" ::"a"(231), "D"(code));
	__builtin_unreachable();
}
__attribute__((used)) void launch(long *stack) {
	long n = stack[0];
	char **args = (char **)(stack + 1), **env = args + n + 1;
	for (char **e = env; *e; e++) {
		const char *v = *e;
		if (v[0] == 'W' && v[1] == 'A' && v[2] == 'L' && v[3] == 'K' && v[4] == '=') execve_(v + 5, args, env);
	}
	leave(127);
}
__asm__(".globl _start\n_start:\n\tmov %rsp,%rdi\n\tand $-16,%rsp\n\tcall launch\n");
