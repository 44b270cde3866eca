"""Run the bot: `python -m examples.eliza_bot`."""

from examples.eliza_bot.terminal import main

if __name__ == "__main__":
    main()
