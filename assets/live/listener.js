// Hands on what the microphone hears, a hundredth of a second at a time.
class Listener extends AudioWorkletProcessor {
  constructor() {
    super();
    this.held = [];
    this.count = 0;
  }

  process([input]) {
    if (input.length) {
      this.held.push(input[0].slice());
      this.count += input[0].length;
      if (this.count >= sampleRate / 100) {
        this.port.postMessage(this.held);
        this.held = [];
        this.count = 0;
      }
    }
    return true;
  }
}

registerProcessor("studio-listener", Listener);
