print("moonlake")
